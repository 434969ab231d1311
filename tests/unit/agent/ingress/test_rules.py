"""Hosts and wildcards; `test_translate` and `test_gateway_api` have the rest by way of objects."""

import pytest

from pipeops.agent.ingress.rules import NotPublished, Publishing, covers, host_of, is_elsewhere

PLAIN = Publishing()


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("a.test", "a.test"),
        (" A.TEST. ", "a.test"),
        ("*.A.test", "*.a.test"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("_acme.a.test", "_acme.a.test"),
    ],
)
def test_hosts(written: str, host: str) -> None:
    assert host_of(written, PLAIN) == host


@pytest.mark.parametrize(
    "written",
    ["a..test", "-a.test", "a-.test", "a.test:80", "a/b", "bücher.test", "a.*.test", "a.test\r\nx", ".test", "x" * 64],
)  # fmt: skip
def test_what_is_no_host(written: str) -> None:
    with pytest.raises(NotPublished, match="no host name"):
        host_of(written, PLAIN)


@pytest.mark.parametrize(
    ("pattern", "host", "covered"),
    [
        ("a.test", "a.test", True),
        ("*.test", "a.test", True),
        ("*.test", "b.a.test", False),
        ("*.test", "test", False),
        ("*.test", "*.a.test", False),
        ("*.test", "*.test", True),
        ("*.", "", False),
        ("*.", "a", False),
    ],
)
def test_wildcards_stand_for_one_label(pattern: str, host: str, covered: bool) -> None:
    assert covers(pattern, host) is covered


def test_only_who_says_other_addresses_is_elsewhere() -> None:
    there = Publishing(balancer=frozenset({"1.1.1.1"}))
    assert is_elsewhere(["8.8.8.8", ""], there)
    assert not is_elsewhere(["1.1.1.1", "8.8.8.8"], there)
    assert not is_elsewhere([""], there)
    assert not is_elsewhere(["8.8.8.8"], PLAIN)
