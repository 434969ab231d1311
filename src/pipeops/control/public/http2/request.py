"""Requests of HTTP/2 in the form that HTTP/1.1's have (RFC 9113 section 8.3), read as strictly."""

import os
import re
from base64 import b64encode
from dataclasses import dataclass

from pipeops.http1.head import HeaderBlock
from pipeops.protocol.headers import Headers, is_token, is_valid_value

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_PATH = re.compile(rb"/[\x21-\x7e]*")
_DIGITS = re.compile(rb"[0-9]{1,15}")
# Of the connection, which HTTP/2 has other means for (RFC 9113 section 8.2.2).
_FORBIDDEN = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_SINGLE = frozenset((b"host", b"content-length", b"authorization", b"expect"))


class UnusableRequest(ValueError):
    """The header fields make no request; the text says why."""


@dataclass(slots=True)
class RequestFields:
    """A request line and the header block that HTTP/1.1 would have had.

    Attributes:
        target: path and query.
        websocket: it is an extended CONNECT (RFC 8441), told as the GET with which HTTP/1.1 would ask.
    """

    method: bytes
    target: bytes
    block: HeaderBlock
    websocket: bool


def read_request(headers: Headers, last: HeaderBlock | None) -> RequestFields:
    """Read the header fields of a request.

    Args:
        headers: with pseudo-header fields, names in lower case.
        last: block of the connection's last request; returned again if this one says the same.

    Raises:
        UnusableRequest: malformed, contradictory, or a CONNECT to somewhere else.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: Headers = []
    for name, value in headers:
        if name[:1] == b":":
            if name in pseudo or fields:
                raise UnusableRequest("misplaced pseudo-header field")
            pseudo[name] = value
        else:
            fields.append((name, value))
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    websocket = method == b"CONNECT" and pseudo.get(b":protocol") == b"websocket"
    if method == b"CONNECT" and not websocket:
        raise UnusableRequest("CONNECT is for proxies of another kind")
    if _METHOD.fullmatch(method) is None or _PATH.fullmatch(target) is None:
        raise UnusableRequest("malformed request")
    block = _block(fields, pseudo.get(b":authority"), last, websocket=websocket)
    return RequestFields(b"GET" if websocket else method, target, block, websocket)


def _block(
    fields: Headers, authority: bytes | None, last: HeaderBlock | None, *, websocket: bool
) -> HeaderBlock:
    host = authority
    if host is None:
        host = next((value for name, value in fields if name == b"host"), None)
    if any(name == b"host" and value != host for name, value in fields):
        raise UnusableRequest("authority and Host header name different hosts")
    rest = [field for field in fields if field[0] not in (b"host", b"cookie")]
    cookies = [value for name, value in fields if name == b"cookie"]
    if cookies:  # RFC 9113 section 8.2.3
        rest.append((b"cookie", b"; ".join(cookies)))
    if websocket:
        key = b64encode(
            os.urandom(16)
        )  # RFC 8441 section 5: HTTP/2 has no use for it, HTTP/1.1 has
        rest.append((b"sec-websocket-key", key))
    made = ((b"host", host or b""), *rest)
    if last is not None and last.fields == made:
        return last
    return _checked(made, host, websocket=websocket)


def _checked(
    fields: tuple[tuple[bytes, bytes], ...], host: bytes | None, *, websocket: bool
) -> HeaderBlock:
    seen: dict[bytes, bytes] = {}
    for name, value in fields:
        if not is_token(name) or name != name.lower() or not is_valid_value(value):
            raise UnusableRequest("malformed header field")
        if name in _FORBIDDEN or (name in seen and name in _SINGLE):
            raise UnusableRequest(f"{name.decode()} header where none may be")
        seen.setdefault(name, value)
    length = seen.get(b"content-length")
    if length is not None and _DIGITS.fullmatch(length) is None:
        raise UnusableRequest("malformed Content-Length")
    return HeaderBlock(
        authorization=seen.get(b"authorization"),
        host=host,
        content_length=int(length) if length is not None else None,
        chunked=False,
        close=False,
        expect_continue=seen.get(b"expect", b"").lower() == b"100-continue",
        upgrade=b"websocket" if websocket else None,
        impersonation=None,
        forwarded=b"",  # the public gateway makes its own of `fields`
        fields=fields,
    )
