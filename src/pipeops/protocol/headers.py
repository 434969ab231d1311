"""Header hygiene: what may cross a hop, what names an identity, which upgrades exist."""

from collections.abc import Iterable
from typing import Final

# RFC 9110 §7.6.1 and what older peers use as such.
HOP_BY_HOP: Final = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
        b"te", b"trailer", b"trailers", b"transfer-encoding", b"upgrade", b"http2-settings",
    )
)  # fmt: skip
_IDENTITY: Final = frozenset(
    (b"authorization", b"cookie", b"forwarded", b"x-real-ip", b"x-csrf-token")
)
_IDENTITY_PREFIXES: Final = (b"impersonate-", b"x-remote-", b"x-forwarded-")
_UPGRADES: Final = frozenset((b"websocket", b"SPDY/3.1"))


def is_identity_header(name: bytes) -> bool:
    """The field says who somebody is, or where they come from: only the hop itself may set it.

    `name` is lower-case. Underscores count as hyphens, since some servers fold them (threats.md S-09).
    """
    folded = name.replace(b"_", b"-")
    return folded in _IDENTITY or folded.startswith(_IDENTITY_PREFIXES)


def connection_tokens(values: Iterable[bytes]) -> frozenset[bytes]:
    """Lower-case options named by Connection fields."""
    return frozenset(
        token for value in values for part in value.split(b",") if (token := part.strip().lower())
    )


def is_allowed_upgrade(value: bytes) -> bool:
    """Exactly one of the two protocols Kubernetes upgrades to (threats.md S-03)."""
    return value in _UPGRADES
