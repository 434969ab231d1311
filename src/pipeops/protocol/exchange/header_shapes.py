"""Headers between JSON objects and header lines, for peers that repeat their names and vary the values.

A *shape* is the names alone, with how many values each has. What names decide (validity, hop-by-hop, canonical
spelling, order) is decided once for each shape; values pass through and are never kept, so no secret is.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Final

import msgspec

from pipeops.protocol.exchange.json_fields import HOP, SINGLE, WEBSOCKET, canonical, judge
from pipeops.protocol.headers import HOP_BY_HOP, HeadersRejected, is_token

MAX_SHAPES: Final = 256
MAX_NAMES: Final = 128  # in one shape, repeated ones too
MAX_NAME_BYTES: Final = 2048  # of one shape; with the count it bounds what a peer can make us keep

_IMPERSONATION: Final = b"impersonate-"

_Key = tuple[tuple[str, ...], tuple[int, ...]]


class LineShape(msgspec.Struct, frozen=True, gc=False):
    """What the names of a header object become.

    Attributes:
        template: header lines, a `%s` for each value.
        impersonation: names of Impersonate-* headers.
        impersonated: picks their values.
    """

    template: str
    impersonation: tuple[bytes, ...]
    impersonated: Callable[[tuple[str, ...]], tuple[str, ...]]


class Lines(msgspec.Struct, frozen=True, gc=False):
    """A header object as header lines.

    Attributes:
        text: each line ended by CRLF.
        impersonation: names of the Impersonate-* headers among them.
        impersonated: their values.
    """

    text: bytes
    impersonation: tuple[bytes, ...]
    impersonated: tuple[str, ...]


class HeaderLines:
    """From the header objects of messages to header lines."""

    def __init__(self, dropped: frozenset[bytes]) -> None:
        """`dropped`: lower-case names of headers that do not go on."""
        self._dropped = dropped
        self._shapes: dict[_Key, LineShape | None] = {}

    def render(self, headers: Mapping[str, list[str]]) -> Lines | None:
        """Write headers as lines; None if any of them needs a closer look, be it right or wrong."""
        key = (tuple(headers), tuple(map(len, headers.values())))
        try:
            shape = self._shapes[key]
        except KeyError:
            shape = self._learn(key)
        if shape is None:
            return None
        values = tuple(chain.from_iterable(headers.values()))
        together = "".join(values)
        if not (together.isascii() and together.isprintable()):
            return None
        text = shape.template % values
        # Blanks around a value are not part of it (RFC 9110 §5.5).
        if ":  " in text or " \r\n" in text:
            return None
        return Lines(text.encode(), shape.impersonation, shape.impersonated(values))

    def _learn(self, key: _Key) -> LineShape | None:
        names, counts = key
        if (
            len(names) > MAX_NAMES
            or sum(counts) > MAX_NAMES
            or len("".join(names)) > MAX_NAME_BYTES
        ):
            return None
        try:
            shape = self._judge(key)
        except HeadersRejected:
            shape = None
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.pop(next(iter(self._shapes)))
        self._shapes[key] = shape
        return shape

    def _judge(self, key: _Key) -> LineShape | None:
        lines: list[str] = []
        impersonation: dict[int, bytes] = {}
        single: set[bytes] = set()
        for name, count in zip(*key, strict=True):
            if not count:
                continue
            field = judge(name, "x")
            if field.traits & (HOP | WEBSOCKET):
                return None
            if field.traits & SINGLE:
                if count > 1 or field.lower in single:
                    return None
                single.add(field.lower)
            dropped = field.lower in self._dropped
            line = "%.0s" if dropped else name.replace("%", "%%") + ": %s\r\n"
            if field.lower.replace(b"_", b"-").startswith(_IMPERSONATION):
                places = range(len(lines), len(lines) + count)
                impersonation.update(dict.fromkeys(places, field.header[0]))
            lines += [line] * count
        names = tuple(impersonation.values())
        return LineShape("".join(lines), names, _picker(list(impersonation)))


def _picker(places: list[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    # A slice, so that it is a tuple too.
    return itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


class JsonShape(msgspec.Struct, frozen=True, gc=False):
    """What the names of header lines become: an object with a `%s` for each value, and the order of those."""

    template: str
    order: Callable[[tuple[str, ...]], tuple[str, ...] | str]


class HeaderObjects:
    """From response heads to the header objects of messages, as Go's encoder writes them."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, ...], JsonShape | None] = {}

    def render(self, head: bytes) -> bytes | None:
        """The JSON of a head, from status line to blank line; None if it needs a closer look."""
        if not head.isascii():
            return None
        text = head.decode()
        try:
            names, values = zip(*[line.split(": ", 1) for line in text.split("\r\n")[1:-2]])  # noqa: B905 - checked by the unpacking
        except ValueError:
            return None
        try:
            shape = self._shapes[names]
        except KeyError:
            shape = self._learn(names)
        together = "".join(values)
        if shape is None or not together.isprintable() or ":  " in text or " \r\n" in text:
            return None
        if _needs_escape(together):
            values = _escaped(values)
        return (shape.template % shape.order(values)).encode()

    def _learn(self, names: tuple[str, ...]) -> JsonShape | None:
        if len(names) > MAX_NAMES or len("".join(names)) > MAX_NAME_BYTES:
            return None
        shape = _json_shape(names)
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.pop(next(iter(self._shapes)))
        self._shapes[names] = shape
        return shape


def _json_shape(names: tuple[str, ...]) -> JsonShape | None:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        raw = name.encode()
        if not is_token(raw) or raw.lower() in HOP_BY_HOP:
            return None
        places.setdefault(canonical(raw), []).append(place)
    order = [place for name in sorted(places) for place in places[name]]
    members = []
    for name in sorted(places):
        values = ",".join(['"%s"'] * len(places[name]))
        members.append(f'"{_escape(name).replace("%", "%%")}":[{values}]')
    return JsonShape("{" + ",".join(members) + "}", itemgetter(*order))


def _needs_escape(text: str) -> bool:
    return '"' in text or "\\" in text or "&" in text or "<" in text or ">" in text


def _escaped(values: tuple[str, ...]) -> tuple[str, ...]:
    # No value has a line end: they can be escaped together.
    return tuple(_escape("\n".join(values)).split("\n"))


def _escape(text: str) -> str:
    """Escape what Go's encoder escapes in printable ASCII."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
