"""Values of the `gateway_proxy` settings: how they are read, and the words they may be."""

import ipaddress
import re
from typing import Final

import msgspec

_NAME: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SERVICE: Final = re.compile(rf"({_NAME})/({_NAME}):(\d{{1,5}})")
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class ServiceName(msgspec.Struct, frozen=True):
    """A Service and one of its ports, as written: `namespace/name:port`."""

    namespace: str
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}:{self.port}"


def service_name(value: object) -> ServiceName | None:
    """The parser of `gateway_proxy.ingress_service`; None for empty.

    Raises:
        ValueError: the expected form.
    """
    written = str(value).strip()
    if not written:
        return None
    found = _SERVICE.fullmatch(written)
    if found is None or not 0 < int(found[3]) < 65_536:
        raise ValueError("namespace/name:port, such as traefik/traefik:80")
    return ServiceName(found[1], found[2], int(found[3]))


def endpoint(value: object) -> str:
    """The parser of `gateway_proxy.public_endpoint`: `host:port`, brackets around IPv6; empty for none.

    Raises:
        ValueError: the expected form.
    """
    written = str(value).strip().lower()
    host, colon, port = written.rpartition(":")
    if not written:
        return ""
    if not colon or not port.isdecimal() or not 0 < int(port) < 65_536 or not _is_host(host):
        raise ValueError("host:port, such as 203.0.113.45:443 or lb.example.com:443")
    return written


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        try:
            return ipaddress.ip_address(host[1:-1]).version == 6
        except ValueError:
            return False
    return _HOST.fullmatch(host) is not None
