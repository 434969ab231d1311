"""Hosts: one spelling for each host name, whoever wrote it, and what the wildcard above it is called."""

import re
from ipaddress import IPv6Address

MAX_HOST = 253  # RFC 1035 section 2.3.4, without the final dot

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[0-9]{1,5}")
_ADDRESS = re.compile(r"(?:[0-9]+\.){3}[0-9]+")


def normal_host(authority: str) -> str:
    """Return the host of a `Host` header or `:authority`, or an empty string if there is none.

    Lower case, without a port and a final dot; an IPv6 address in the spelling of RFC 5952, with brackets (RFC 3986 section 3.2.2). Anything but ASCII
    is no host: `str.lower` would turn the Kelvin sign into a plain k, and one tenant's name into another's.
    """
    if not authority.isascii():
        return ""
    host, port = authority, ""
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return ""
        host, port = _address_host(host[1:]), rest[1:]
    elif ":" in authority:
        host, _, port = authority.partition(":")
    if port and _PORT.fullmatch(port) is None:
        return ""
    return host.removesuffix(".").lower()


def _address_host(text: str) -> str:
    if "%" in text:
        return ""  # a zone is the client's own affair (RFC 9844)
    try:
        return f"[{IPv6Address(text)}]"
    except ValueError:
        return ""


def wildcard_of(host: str) -> str:
    """Return the wildcard that matches a normal host: exactly its first label is replaced (Kubernetes, Ingress, "Hostname wildcards")."""
    label, dot, parent = host.partition(".")
    return f"*.{parent}" if label and dot and parent else ""


def check_host(host: str) -> str:
    """Return the normal spelling of a host that a route may have: a DNS name, or `*.` and a DNS name.

    Raises:
        ValueError: It is none; the message says why.
    """
    normal = host.removesuffix(".").lower() if host.isascii() else ""
    if not host:
        raise ValueError("a route needs a host")
    if len(normal) > MAX_HOST:
        raise ValueError(f"a host has at most {MAX_HOST} characters")
    if _HOST.fullmatch(normal) is None or _ADDRESS.fullmatch(normal) is not None:
        raise ValueError(
            "a host is a DNS name (letters, digits and '-' in labels of at most 63), perhaps after '*.', without a port"
        )
    if normal.startswith("*.") and "." not in normal[2:]:
        raise ValueError("a wildcard needs at least two labels after '*.'")
    return normal
