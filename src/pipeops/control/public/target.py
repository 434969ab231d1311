"""Target: the host and path a public request is for, read strictly (RFC 9112 section 3.2)."""

import re
from dataclasses import dataclass

MAX_HOST = 253

_AUTHORITY = re.compile(rb"([A-Za-z0-9._-]{1,254}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_EMPTY_LABEL = re.compile(r"^\.|\.\.|\.$")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)([/?][^#]*)?")


class UnusableTarget(ValueError):
    """The request does not say in one way which host and path it is for; the text says why."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host as clients name it.

    Attributes:
        name: lower case, without port and final dot.
        authority: as received, for the Service.
    """

    name: str
    authority: bytes


def read_host(value: bytes | None) -> Host:
    """Read a Host header or `:authority`.

    Raises:
        UnusableTarget: missing, empty, or no host with an optional port.
    """
    if not value:
        raise UnusableTarget("no Host header")
    match = _AUTHORITY.fullmatch(value)
    if match is None or (match[2] is not None and int(match[2]) > 65535):
        raise UnusableTarget("malformed Host header")
    name = match[1].decode("ascii").lower().removesuffix(".")
    if not name or len(name) > MAX_HOST or _EMPTY_LABEL.search(name):
        raise UnusableTarget("malformed Host header")
    return Host(name, value)


def origin_form(target: bytes, host: Host) -> bytes:
    """Return path and query of a request target; an absolute one must name the same host.

    Raises:
        UnusableTarget: it names another host, or is neither a path nor a URL. `*` is neither.
    """
    if target.startswith(b"/"):
        if target.find(b"#") >= 0:
            raise UnusableTarget("a fragment in the request target")
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise UnusableTarget("malformed request target")
    if read_host(match[1]).name != host.name:
        raise UnusableTarget("the request target names another host than the Host header")
    rest = match[2] or b"/"
    return rest if rest.startswith(b"/") else b"/" + rest
