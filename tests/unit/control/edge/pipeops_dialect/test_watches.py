"""Watches end before a Go agent cuts them."""

import pytest

from pipeops.control.edge.pipeops_dialect.watches import cap_watch


@pytest.mark.parametrize(
    ("target", "capped"),
    [
        (b"/p?watch=true", b"/p?watch=true&timeoutSeconds=25"),
        (b"/p?watch=true&timeoutSeconds=575", b"/p?watch=true&timeoutSeconds=25"),
        (b"/p?timeoutSeconds=575&watch=1", b"/p?timeoutSeconds=25&watch=1"),
        (b"/p?watch=1&timeoutSeconds=10", b"/p?watch=1&timeoutSeconds=10"),
        (b"/p?watch=1&timeoutSeconds=0", b"/p?watch=1&timeoutSeconds=25"),
        (b"/p?watch=1&timeoutSeconds=", b"/p?watch=1&timeoutSeconds=25"),
        (b"/p?watch=1&timeoutSeconds=99999999999", b"/p?watch=1&timeoutSeconds=25"),
        (b"/p?timeoutSeconds=1e9&watch=1", b"/p?timeoutSeconds=25&watch=1"),
    ],
)
def test_the_limit_of_a_watch(target: bytes, capped: bytes) -> None:
    assert cap_watch(target) == capped


def test_a_second_limit_does_not_survive() -> None:
    capped = cap_watch(b"/p?watch=1&timeoutSeconds=500&timeoutSeconds=900")
    assert b"900" not in capped
    assert b"timeoutSeconds=25" in capped


def test_a_path_style_watch_gets_a_query() -> None:
    assert cap_watch(b"/api/v1/watch/pods") == b"/api/v1/watch/pods?timeoutSeconds=25"
