"""Request heads: cut, validated by llhttp, read once, and stripped of what must not cross (RFC 9110 §7.6.1, RFC 9112)."""

import re
from dataclasses import dataclass, field

import httptools

from pipeops.protocol.headers import connection_options, sanitise_request

MAX_HEAD_BYTES = (
    64 * 1024
)  # fits 60 groups of impersonation; nginx 32 KiB, Go 1 MiB, GKE 8 KiB (threats.md S-31)

# CONNECT has framing rules of its own (RFC 9110 §9.3.6) and is for proxies of another kind.
REQUEST_LINE = re.compile(
    rb"(?!CONNECT )([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])\r\n"
)
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_DIGITS = re.compile(rb"[0-9]{1,15}")


class HeadError(Exception):
    """A request head we refuse.

    Attributes:
        status: HTTP status to answer with (400, 411, 413, 417, 431, 501, 505).
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class HeaderBlock:
    """What the header lines of a request say, read once and kept for identical blocks.

    Attributes:
        authorization: value of Authorization, or None.
        host: value of Host, or None.
        content_length: declared body length, or None.
        chunked: the body is chunked.
        close: the client wants its connection closed afterwards.
        expect_continue: the client waits for 100 before it sends the body.
        upgrade: protocol named by Upgrade together with `Connection: upgrade`, or None.
        impersonation: name of the first Impersonate-* header the client sent, or None.
        forwarded: header lines that may cross, each ended by CRLF.
        fields: all fields as (lower-case name, value).
        plain: nothing in it needs care: no body, no upgrade, and the connection is kept.
    """

    authorization: bytes | None
    host: bytes | None
    content_length: int | None
    chunked: bool
    close: bool
    expect_continue: bool
    upgrade: bytes | None
    impersonation: bytes | None
    forwarded: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        """Derive `plain`."""
        self.plain = not (
            self.content_length
            or self.chunked
            or self.close
            or self.expect_continue
            or self.upgrade is not None
        )

    def value(self, name: bytes) -> bytes | None:
        """First value of the field with this lower-case name."""
        return next((value for key, value in self.fields if key == name), None)


@dataclass(slots=True)
class RequestHead:
    """A request line and its header block."""

    method: bytes
    target: bytes
    minor: int
    block: HeaderBlock


def read_request_line(data: bytes) -> re.Match[bytes]:
    """Match the request line `data` begins with: groups are method, target, minor version.

    Raises:
        HeadError: 400, or 505 for another major version.
    """
    match = REQUEST_LINE.match(data)
    if match is None:
        if re.match(rb"[^\r\n]* HTTP/[02-9]", data):
            raise HeadError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        raise HeadError(400, "malformed request line")
    return match


def objection_to_start(data: bytes) -> tuple[int, str] | None:
    """Why an incomplete request head that starts like this need not be waited for: status and text, or None."""
    if len(data) > MAX_HEAD_BYTES:
        return 431, f"request head larger than {MAX_HEAD_BYTES} bytes"
    if data[:1] in (b"\x16", b"\x80"):
        return 400, "this port speaks plain HTTP, the client speaks TLS"
    return None


def parse_head(head: bytes) -> RequestHead:
    """Parse a whole request head, from request line to blank line.

    llhttp judges it first; our own reading is stricter still where two parsers could disagree.

    Raises:
        HeadError: with the status to answer.
    """
    match = read_request_line(head)
    _validate(head)
    method, target, minor = match.groups()
    block = read_block(head[match.end() : -2])
    if block.host is None and minor == b"1":
        raise HeadError(400, "Host header missing")
    return RequestHead(method, target, int(minor), block)


class _Ignore:
    """llhttp needs an object for its callbacks; we want only its verdict."""

    __slots__ = ()


_IGNORE = _Ignore()


def _validate(head: bytes) -> None:
    try:
        httptools.HttpRequestParser(_IGNORE).feed_data(head)
    except httptools.HttpParserUpgrade:
        return
    except httptools.HttpParserError as error:
        raise HeadError(400, f"malformed request: {error}") from error


def read_block(block: bytes) -> HeaderBlock:
    """Read header lines, each ended by CRLF, without the blank line.

    Raises:
        HeadError: malformed or contradictory fields (RFC 9112 §6.3 rules against smuggling).
    """
    fields = _split(block)
    seen: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in seen and name in _SINGLE:
            raise HeadError(400, f"more than one {name.decode()} header")
        seen.setdefault(name, value)
    tokens = connection_options(fields)
    content_length, chunked = _body_framing(seen)
    expect = seen.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise HeadError(417, "only Expect: 100-continue is understood")
    upgrade = seen.get(b"upgrade") if b"upgrade" in tokens else None
    return HeaderBlock(
        authorization=seen.get(b"authorization"),
        host=seen.get(b"host"),
        content_length=content_length,
        chunked=chunked,
        close=b"close" in tokens,
        expect_continue=expect is not None,
        upgrade=upgrade,
        impersonation=next((name for name in seen if name.startswith(b"impersonate-")), None),
        forwarded=_crossing(fields),
        fields=tuple(fields),
    )


# A second value of these is a contradiction between two parsers waiting to happen.
_SINGLE = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"authorization", b"upgrade", b"expect")
)
# Rebuilt by each hop; never copied.
_OWN = frozenset((b"host", b"content-length", b"expect", b"audit-id"))


def _split(block: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in block.split(b"\r\n")[:-1]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise HeadError(400, "malformed header line")
        fields.append((match[1].lower(), match[2]))
    return fields


def _body_framing(seen: dict[bytes, bytes]) -> tuple[int | None, bool]:
    coding, length = seen.get(b"transfer-encoding"), seen.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise HeadError(400, "both Content-Length and Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise HeadError(501, "only the chunked transfer coding is understood")
        return None, True
    if length is None:
        return None, False
    if _DIGITS.fullmatch(length) is None:
        raise HeadError(400, "malformed Content-Length")
    return int(length), False


def _crossing(fields: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(
        b"%b: %b\r\n" % (name, value)
        for name, value in sanitise_request(fields)
        if name not in _OWN
    )
