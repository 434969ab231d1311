"""Which HTTP proxy a URL is dialled through: HTTPS_PROXY, HTTP_PROXY and NO_PROXY as curl and Go read them."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit, urlunsplit

_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_SCHEMES = ("http", "https", "socks5", "socks4")


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy URL for `url`, or None to dial directly.

    Lower-case names win, as in curl. NO_PROXY entries: `*`, host, `.suffix`, `host:port`, address, CIDR.
    Loopback is never proxied, as in Go.

    Raises:
        ValueError: the proxy's URL cannot be used; the message names the variable and shows no password.
    """
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    names = ("https_proxy", "HTTPS_PROXY") if secure else ("http_proxy", "HTTP_PROXY")
    variable = _first(environment, *names, "all_proxy", "ALL_PROXY")
    if not variable or not parts.hostname:
        return None
    if _excluded(parts, environment.get(_first(environment, "no_proxy", "NO_PROXY"), "")):
        return None
    proxy = environment[variable].strip()
    return _checked(variable, proxy if "://" in proxy else f"http://{proxy}")


def without_password(proxy: str) -> str:
    """A proxy's URL as people may see it."""
    parts = urlsplit(proxy)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))


def _first(environment: Mapping[str, str], *names: str) -> str:
    """The first variable that is set and not empty."""
    return next((name for name in names if environment.get(name, "").strip()), "")


def _checked(variable: str, proxy: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number, or a bracket is missing
        usable = False
    if not usable:
        raise ValueError(
            f"{variable} is not the URL of a proxy, such as http://proxy.example.com:3128"
            f" (also {', '.join(_SCHEMES[1:])})"
        )
    return proxy


def _excluded(parts: SplitResult, no_proxy: str) -> bool:
    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _matches(entry.strip().lower(), host, port, address)
        for entry in no_proxy.split(",")
        if entry.strip()
    )


def _matches(
    entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if entry == "*":
        return True
    entry, wanted_port = _split_port(entry)
    if wanted_port not in (None, port):
        return False
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    suffix = entry.removeprefix("*").lstrip(".")
    return host == suffix or host.endswith(f".{suffix}")


def _split_port(entry: str) -> tuple[str, int | None]:
    """`host:port`, `[v6]:port`, `[v6]`, or an entry without a port."""
    name, colon, number = entry.rpartition(":")
    bracketed = entry.startswith("[")
    if colon and number.isdecimal() and (name.endswith("]") if bracketed else ":" not in name):
        return name.strip("[]"), int(number)
    return entry.strip("[]"), None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
