"""Which header may cross which hop: validation, hop-by-hop removal, identity removal, upgrades.

Pure functions over `[(name, value), …]` in bytes, as they stand on the wire. Order of use, which
CVE-2021-31999 teaches: first remove what `Connection` names, then what identifies somebody, and
only then add our own. Then nothing the client wrote can make a later hop drop what we added.
"""

import re
from collections.abc import Iterable
from typing import Final

from pipeops.protocol.errors import RemoteProtocolError

Header = tuple[bytes, bytes]
Headers = list[Header]

#: RFC 9110 section 7.6.1, with the two that old clients still send.
HOP_BY_HOP: Final = frozenset({
    b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authentication-info",
    b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip

#: Named in `Connection`, these would change where a message ends or goes; the name is ignored.
_NEVER_PER_HOP: Final = frozenset({b"content-length", b"content-type", b"host"})

#: Identity in any form that a server behind us might believe. Compared with `_` read as `-`, since
#: CGI-like servers do not tell the two apart.
_IDENTITY_NAMES: Final = frozenset({
    b"authorization", b"proxy-authorization", b"cookie", b"cookie2", b"forwarded", b"remote-user",
    b"remote-group", b"x-real-ip",
    b"x-client-ip", b"true-client-ip", b"cf-connecting-ip", b"x-cluster-client-ip", b"x-user",
    b"x-csrf-token", b"x-csrftoken", b"x-xsrf-token", b"x-http-method-override", b"x-http-method",
    b"x-method-override",
})  # fmt: skip
_IDENTITY_PREFIXES: Final = (
    b"impersonate-", b"x-remote-", b"x-forwarded-", b"x-original-", b"x-pipeops-", b"x-auth-",
    b"x-webauth-", b"x-ssl-", b"ssl-client-", b"x-client-cert",
)  # fmt: skip

#: kube-apiserver takes a bearer token from the WebSocket subprotocol list as well.
_BEARER_SUBPROTOCOL: Final = b"base64url.bearer.authorization.k8s.io."
_SUBPROTOCOL: Final = b"sec-websocket-protocol"

#: The only protocols a connection may change to (kubernetes#72112), spelled as clients spell them.
ALLOWED_UPGRADES: Final = frozenset({b"websocket", b"SPDY/3.1"})

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_IN_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class HeadersRejected(RemoteProtocolError):
    """A head that no hop should pass on; the answer is 400."""

    def __init__(self, reason: str) -> None:
        """`reason` never quotes a header's value."""
        super().__init__(reason)
        self.reason = reason


class UpgradeRefused(HeadersRejected):
    """The client wants to change to a protocol we do not carry."""


def is_token(name: bytes) -> bool:
    """Whether `name` is a token (RFC 9110 section 5.6.2), as methods and field names must be."""
    return _TOKEN.fullmatch(name) is not None


def is_valid_value(value: bytes) -> bool:
    """Whether a field value has neither CR, LF, NUL nor another control character except tab."""
    return _BAD_IN_VALUE.search(value) is None


def validate(headers: Iterable[Header]) -> None:
    """Check every name and value.

    Raises:
        HeadersRejected: naming the first thing wrong.
    """
    for name, value in headers:
        if not is_token(name):
            raise HeadersRejected(f"header name {name[:40]!r} has a forbidden character")
        if not is_valid_value(value):
            raise HeadersRejected(f"the value of header {name[:40]!r} has a control character")


def connection_options(headers: Iterable[Header]) -> frozenset[bytes]:
    """Return the lower-case tokens of all `Connection` headers."""
    return frozenset(
        token
        for name, value in headers
        if name.lower() == b"connection"
        for part in value.split(b",")
        if (token := part.strip(b" \t").lower())
    )


def without_hop_by_hop(headers: Headers) -> Headers:
    """Return the headers that go further than the next hop (RFC 9110 section 7.6.1)."""
    kept = [header for header in headers if header[0].lower() not in HOP_BY_HOP]
    if len(kept) == len(headers):  # no Connection header either, so none names another
        return kept
    named = connection_options(headers) - _NEVER_PER_HOP
    return [header for header in kept if header[0].lower() not in named] if named else kept


def is_identity(name: bytes) -> bool:
    """Whether a header of this name, in any case, could make a server believe who is calling."""
    plain = name.lower().replace(b"_", b"-")
    return plain in _IDENTITY_NAMES or plain.startswith(_IDENTITY_PREFIXES)


def without_identity(headers: Headers) -> Headers:
    """Return the headers that identify nobody; a bearer token among subprotocols is taken out.

    Headers with an invalid name go too: another parser might read `Impersonate-User :` as the
    real one. So do invalid values.
    """
    kept: Headers = []
    for name, value in headers:
        if not is_token(name) or not is_valid_value(value) or is_identity(name):
            continue
        if name.lower().replace(b"_", b"-") == _SUBPROTOCOL:
            rest = _without_bearer(value)
            if rest:
                kept.append((name, rest))
            continue
        kept.append((name, value))
    return kept


def sanitise_request(headers: Headers) -> Headers:
    """Remove what is for this hop only, then what identifies somebody."""
    return without_identity(without_hop_by_hop(headers))


def upgrade_protocol(headers: Headers) -> bytes | None:
    """Return the protocol the client asks to change to, or `None` for a plain request.

    `Upgrade` counts only if `Connection` names it (RFC 9110 section 7.8).

    Raises:
        UpgradeRefused: it is not exactly one of `ALLOWED_UPGRADES`.
    """
    if b"upgrade" not in connection_options(headers):
        return None
    offers = [value.strip(b" \t") for name, value in headers if name.lower() == b"upgrade"]
    if not offers:
        return None
    if len(offers) > 1 or offers[0] not in ALLOWED_UPGRADES:
        raise UpgradeRefused("only upgrades to websocket or SPDY/3.1 are carried")
    return offers[0]


def is_upgrade(headers: Headers) -> bool:
    """Whether the client asks to change the protocol, allowed or not."""
    return b"upgrade" in connection_options(headers) and any(
        name.lower() == b"upgrade" for name, _ in headers
    )


def _without_bearer(value: bytes) -> bytes:
    if _BEARER_SUBPROTOCOL not in value.lower():
        return value
    kept = [
        part.strip(b" \t")
        for part in value.split(b",")
        if not part.strip(b" \t").lower().startswith(_BEARER_SUBPROTOCOL)
    ]
    return b", ".join(part for part in kept if part)
