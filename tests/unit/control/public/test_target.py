"""Hosts and request targets: one reading, or refused."""

import pytest

from pipeops.control.public.target import UnusableTarget, origin_form, read_host

APP = read_host(b"app.example.com")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"app.example.com", "app.example.com"), (b"APP.Example.COM", "app.example.com"),
        (b"app.example.com:8443", "app.example.com"), (b"app.example.com.", "app.example.com"),
        (b"app.example.com.:80", "app.example.com"), (b"[::1]:80", "[::1]"), (b"127.0.0.1", "127.0.0.1"),
    ],
)  # fmt: skip
def test_a_host_has_one_name(value: bytes, name: str) -> None:
    assert read_host(value).name == name
    assert read_host(value).authority == value


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b" ", b"a b", b"a/b", b"user@app.example.com", b"app.example.com:x", b"app.example.com:70000", b"a,b",
        b"*.example.com", b"app.example.com:", b"[::1", b"..", b".example.com", b"a..b", b"ex\xc3\xa4mple.com", b"a" * 300,
        b"app.example.com..", b"a\x00b",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(value: bytes | None) -> None:
    with pytest.raises(UnusableTarget):
        read_host(value)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a?b", b"/a?b"), (b"http://app.example.com/a?b", b"/a?b"), (b"http://APP.example.com:80", b"/"),
        (b"https://app.example.com?x", b"/?x"), (b"//evil.example.com/x", b"//evil.example.com/x"),
    ],
)  # fmt: skip
def test_a_target_becomes_a_path(target: bytes, path: bytes) -> None:
    assert origin_form(target, APP) == path


@pytest.mark.parametrize(
    "target",
    [
        b"http://other.example.com/", b"http://user@app.example.com/", b"*", b"app.example.com:443", b"ftp://app.example.com/",
        b"http:///x", b"/a#b", b"http://app.example.com@evil/", b"x",
    ],
)  # fmt: skip
def test_a_target_for_somebody_else_is_refused(target: bytes) -> None:
    with pytest.raises(UnusableTarget):
        origin_form(target, APP)
