"""HeaderField: one header of a JSON message, judged once and remembered, since messages repeat their headers."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from pipeops.protocol.headers import HOP_BY_HOP, validate

MAX_REMEMBERED: Final = 1024  # fields, and names
MAX_LENGTH: Final = 512  # characters of what is remembered
#: Values that are nobody's to keep longer than their request.
_SECRET: Final = frozenset(("authorization", "cookie", "set-cookie", "proxy-authorization"))

#: Written by whoever sends the request on, from what it knows.
OWN_NAMES: Final = frozenset((b"host", b"content-length", b"expect"))
_SINGLE: Final = frozenset((b"authorization", b"impersonate-user", b"impersonate-uid"))


# What a header needs beyond being passed on; plain numbers, since IntFlag arithmetic is slow.
HOP: Final = 1  # RFC 9110 §7.6.1: not for the next hop, or names others that are not
OWN: Final = 2  # replaced by whoever sends the request on
SINGLE: Final = 4  # may be there once only
WEBSOCKET: Final = (
    8  # as the Go agent decides (reference protocol §4.5): makes the request an upgrade
)


class HeaderField(msgspec.Struct, frozen=True, gc=False):
    """A valid header.

    Attributes:
        header: name and value, as they go to the wire.
        lower: the name in lower case.
        traits: HOP, OWN, SINGLE, WEBSOCKET, added up.
    """

    header: tuple[bytes, bytes]
    lower: bytes
    traits: int


def fields(headers: Mapping[str, list[str]]) -> list[HeaderField]:
    """The headers of a message, in order.

    Raises:
        HeadersRejected: naming the first thing wrong.
    """
    return [
        (
            _remembered
            if len(name) + len(value) <= MAX_LENGTH and name.lower() not in _SECRET
            else judge
        )(name, value)
        for name, values in headers.items()
        for value in values
    ]  # fmt: skip


def judge(name: str, value: str) -> HeaderField:
    """What one header is. Raises `HeadersRejected`."""
    header = name.encode("utf-8", "replace"), value.strip(" \t").encode("utf-8", "replace")
    validate((header,))
    lower = header[0].lower()
    traits = 0
    if lower in HOP_BY_HOP:
        traits |= HOP
    if lower in OWN_NAMES:
        traits |= OWN
    if lower in _SINGLE:
        traits |= SINGLE
    upgrade = lower == b"upgrade" and header[1].lower() == b"websocket"
    if upgrade or (lower.startswith(b"sec-websocket-") and header[1]):
        traits |= WEBSOCKET
    return HeaderField(header, lower, traits)


_remembered = lru_cache(maxsize=MAX_REMEMBERED)(judge)


def canonical(name: bytes) -> str:
    """A header name as Go's textproto spells it: `content-type` becomes `Content-Type`."""
    return _spelt(name) if len(name) <= MAX_LENGTH else _spell(name)


def _spell(name: bytes) -> str:
    return "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))


_spelt = lru_cache(maxsize=MAX_REMEMBERED)(_spell)
