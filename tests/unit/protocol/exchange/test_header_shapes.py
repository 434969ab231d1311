"""Headers by shape: the same as header by header, what is unusual is left, and nothing secret stays."""

import gc
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.exchange import header_shapes
from pipeops.protocol.exchange.header_shapes import HeaderLines, HeaderObjects
from pipeops.protocol.exchange.json_fields import OWN_NAMES
from pipeops.protocol.exchange.pipeops import read_request, to_header_map
from pipeops.protocol.headers import without_hop_by_hop
from pipeops.protocol.messages.envelope import escape
from tests.support.two_ways import NOW

NAMES = st.one_of(
    st.sampled_from(
        [
            "Accept",
            "accept",
            "Audit-Id",
            "Authorization",
            "authorization",
            "Connection",
            "Content-Length",
            "ETag",
            "Expect",
            "Host",
            "IMPERSONATE_USER",
            "Impersonate-Extra-a%2fb",
            "Impersonate-Group",
            "Impersonate-User",
            "Keep-Alive",
            "Sec-WebSocket-Key",
            "TE",
            "Upgrade",
            "Warning",
            "X%s",
            "%",
        ]
    ),
    st.text("aZ-_:% \r\né", max_size=4),
)
VALUES = st.text(st.sampled_from(" a:,%\"\\<>&'\t\r\n\x00\x7fé\u2028"), max_size=6)
LINES = HeaderLines(OWN_NAMES)
OBJECTS = HeaderObjects()


@given(st.dictionaries(NAMES, st.lists(VALUES, max_size=3), max_size=5))
def test_lines_are_those_of_the_long_way(headers: dict[str, list[str]]) -> None:
    lines = LINES.render(headers)
    if lines is None:
        return
    head = read_request(json.dumps({"headers": headers}).encode(), now=NOW).head
    assert lines.text == b"".join([b"%b: %b\r\n" % header for header in head.headers])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([": ", ":", ":  "]))
def test_objects_are_those_of_the_long_way(fields: list[tuple[str, str]], colon: str) -> None:
    text = "".join(f"{name}{colon}{value}\r\n" for name, value in fields)
    head = f"HTTP/1.1 200 OK\r\n{text}\r\n".encode("latin-1", "replace")
    rendered = OBJECTS.render(head)
    if rendered is None:
        return
    pairs = [line.partition(b":") for line in head.split(b"\r\n")[1:-2]]
    headers = [(name.strip(), value.strip()) for name, _, value in pairs]
    expected = to_header_map(without_hop_by_hop(headers))
    assert rendered == escape(msgspec.json.encode(expected, order="deterministic"))


def test_the_usual_is_rendered() -> None:
    headers = {"Accept": ["a/b, c"], "Host": ["h"], "Impersonate-Group": ["a", "b"], "X%s": ["%s"]}
    lines = LINES.render(headers)
    assert lines is not None
    assert lines.text == (
        b"Accept: a/b, c\r\nImpersonate-Group: a\r\nImpersonate-Group: b\r\nX%s: %s\r\n"
    )
    assert lines.impersonation == (b"Impersonate-Group", b"Impersonate-Group")
    assert lines.impersonated == ("a", "b")
    for headers, impersonated in (
        ({"A": ["b"]}, ()),
        ({"A": ["b"], "impersonate_User": ["c"]}, ("c",)),
        ({"Impersonate-A": ["b"], "A": ["c"], "Impersonate-B": ["d"]}, ("b", "d")),
    ):
        found = LINES.render(headers)
        assert found is not None
        assert found.impersonated == impersonated
    head = b'HTTP/1.1 200 OK\r\nwarning: 2\r\nETag: "<%s>"\r\nWarning: 1\r\n\r\n'
    assert OBJECTS.render(head) == b'{"Etag":["\\"\\u003c%s\\u003e\\""],"Warning":["2","1"]}'


@pytest.mark.parametrize(
    "headers",
    [
        {"A": ["b\r\nC: d"]},
        {"A: x\r\nB": ["y"]},
        {"A": [" x"]},
        {"A": ["x "]},
        {"A": ["é"]},
        {"A": ["x\ty"]},
        {"": ["x"]},
        {"Connection": ["close"]},
        {"Upgrade": ["websocket"]},
        {"Sec-WebSocket-Key": ["x"]},
        {"Authorization": ["a", "b"]},
        {"Authorization": ["a"], "authorization": ["b"]},
        {"Impersonate-User": ["a"], "impersonate-user": ["b"]},
        {f"A{number}": ["x"] for number in range(header_shapes.MAX_NAMES + 1)},
        {"A": ["x"] * (header_shapes.MAX_NAMES + 1)},
        {"A" * (header_shapes.MAX_NAME_BYTES + 1): ["x"]},
    ],
)
def test_what_needs_a_closer_look_is_left(headers: dict[str, list[str]]) -> None:
    for _ in range(2):  # once the names are known it is the same
        assert LINES.render(headers) is None


@pytest.mark.parametrize(
    "fields",
    [
        b"A: b\nC: d\r\n",
        b"A: b\rC: d\r\n",
        b"A\r\n",
        b"A:b\r\n",
        b"A:  b\r\n",
        b"A: b \r\n",
        b"A: \r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b"A: \xe9\r\n",
        b"A: b\x7f\r\n",
        b"Connection: close\r\n",
        b"Foo\r\nC: d: e\r\n",
        b"",
    ],
)
def test_heads_that_need_a_closer_look_are_left(fields: bytes) -> None:
    for _ in range(2):
        assert OBJECTS.render(b"HTTP/1.1 200 OK\r\n%b\r\n" % fields) is None


def test_what_is_remembered_is_bounded_and_holds_no_value() -> None:
    lines, objects = HeaderLines(OWN_NAMES), HeaderObjects()
    secret = "".join(("hunter", "2" * 40))
    for number in range(header_shapes.MAX_SHAPES + 10):
        assert lines.render({f"A{number}": [secret], "Authorization": [f"Bearer {secret}"]})
        assert objects.render(b"HTTP/1.1 200 OK\r\nA%d: %b\r\n\r\n" % (number, secret.encode()))
    assert len(lines._shapes) == len(objects._shapes) == header_shapes.MAX_SHAPES
    kept = [*gc.get_referents(lines._shapes), *gc.get_referents(objects._shapes)]
    assert secret not in repr(kept)
