"""OriginRule: which web pages may read the agent's streams and its dashboard.

Browsers let any page open a WebSocket, and any name be pointed at a private address (DNS rebinding), so the origin
and the host's name decide. Programs that are no browsers send no Origin and are not concerned.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from pipeops.http1.head import RequestHead

SETTING = "agent.allowed_origins (AGENT_ALLOWED_WS_ORIGINS)"
#: Names that nobody can register in the public DNS (RFC 6762, RFC 8375, ICANN's private-use `internal`).
_PRIVATE = (".local", ".localhost", ".internal", ".svc", ".home.arpa")


class OriginRule:
    """Same origin and no origin are allowed, others only by name; `*` allows all."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(origin.strip() for origin in allowed if origin.strip())
        self._hosts = frozenset((urlsplit(origin).hostname or "") for origin in self._allowed)

    def objection(self, head: RequestHead) -> str | None:
        """Why this request is refused, or None."""
        if "*" in self._allowed:
            return None
        host = (head.block.host or b"").decode("latin-1")
        name = _name(host)
        if not _private(name) and name not in self._hosts:
            return f"the host name {name[:100]!r} is not known to be this agent's; name its origin in {SETTING}"
        origin = head.block.value(b"origin")
        if origin is None:
            site = head.block.value(b"sec-fetch-site")
            if site in (None, b"none", b"same-origin"):
                return None
            return "requests from pages of other sites are refused"
        text = origin.decode("latin-1")
        if text in self._allowed or text in (f"http://{host}", f"https://{host}"):
            return None
        return f"the origin {text[:100]!r} may not read this; name it in {SETTING}"


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return host


def _private(name: str) -> bool:
    """An address, a name without a dot (so resolved by a search list), or one of a private zone."""
    if not name or "." not in name or name == "host.docker.internal" or name.endswith(_PRIVATE):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
