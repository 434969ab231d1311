"""Readings of a path: one for plain paths, several where servers disagree, none where nothing can be trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.control.public.paths import UnusablePath, readings


@pytest.mark.parametrize(
    "path", ["/", "/a/b", "/a.b/c..d", "/v1...v2", "/my%20app", "/caf%C3%A9", "/~x"]
)
def test_an_ordinary_path_has_one_reading(path: str) -> None:
    assert readings(path) == (path,)


def test_escapes_of_plain_characters_are_read_as_these() -> None:
    assert readings("/%61pp") == ("/app",)


@pytest.mark.parametrize(
    "path",
    [
        "/app/../secret", "/app/%2e%2e/secret", "/app/.%2E/secret", "/app/..%2fsecret", "/app%2f..%2fsecret",
        "/app/..;/secret", "/app/..;x=1/secret", "/app/..\\secret", "/app/..%5csecret", "/app/%252e%252e/secret",
        "/app/..%252fsecret", "/app/%c0%ae%c0%ae/secret", "/app/..%c0%afsecret", "/app//../secret",
        "/app/./../secret", "/x/..//secret", "//secret", "/app/%2e%2e%2fsecret", "/app/..%c1%9csecret",
    ],
)  # fmt: skip
def test_every_way_out_of_a_prefix_is_among_the_readings(path: str) -> None:
    found = readings(path)
    assert "/secret" in found
    assert len(found) > 1, "and so is staying inside it"


@pytest.mark.parametrize(
    "path", ["/..", "/../x", "/%2e%2e/x", "/app/../../x", "/a%00b", "/%", "/%zz", "/a/..%2f..%2fx"]
)
def test_what_nobody_can_read_safely_is_refused(path: str) -> None:
    with pytest.raises(UnusablePath):
        readings(path)


def test_an_escaped_slash_is_read_as_both() -> None:
    assert set(readings("/group%2Fproject")) == {"/group%2Fproject", "/group/project"}


@pytest.mark.parametrize("part", ["%252e", "a;/", "/./", "//"])
def test_s30_long_paths_are_not_read_in_every_way(part: str) -> None:
    with pytest.raises(UnusablePath):
        readings("/" + part * 3000)
    assert readings("/" + part * 300)
    assert readings("/" + "a" * 30_000)


@given(st.text(alphabet="ab/.;\\%25cCfF0", max_size=12))
def test_no_path_that_servers_may_read_otherwise_counts_as_plain(rest: str) -> None:
    path = "/" + rest
    if "%" in path:
        return
    try:
        found = readings(path)
    except UnusablePath:
        return
    if found == (path,):
        segments = path.split("/")[1:]
        assert not {".", ".."} & set(segments)
        assert ";" not in path
        assert "\\" not in path
        assert "" not in segments[:-1]
