"""Speech: which protocol a Service's port speaks, by its `appProtocol`, else its name, else its number."""

from typing import Final, NamedTuple

_TLS_PORTS: Final = frozenset((443, 8443))


class Speech(NamedTuple):
    """How to talk to a port.

    Attributes:
        http2: with prior knowledge (RFC 9113 section 3.3), or agreed on by ALPN with `tls`; else HTTP/1.1.
    """

    tls: bool = False
    http2: bool = False


_HTTP, _HTTPS, _H2C, _H2 = Speech(), Speech(tls=True), Speech(http2=True), Speech(True, True)

# Kubernetes "Application protocol" (KEP-3726), and what Istio, GKE and Contour have always read.
_BY_PROTOCOL: Final = {
    "http": _HTTP,
    "https": _HTTPS,
    "kubernetes.io/ws": _HTTP,
    "kubernetes.io/wss": _HTTPS,
    "ws": _HTTP,
    "wss": _HTTPS,
    "kubernetes.io/h2c": _H2C,
    "h2c": _H2C,
    "http2": _H2C,
    "grpc": _H2C,
    "h2": _H2,
    "grpcs": _H2,
}
# Port names, whole or up to a hyphen.
_BY_NAME: Final = {**_BY_PROTOCOL, "websecure": _HTTPS}


def speech_of(app_protocol: str, name: str, port: int) -> Speech:
    """What a port speaks; the first that says anything known counts."""
    by_protocol = _BY_PROTOCOL.get(app_protocol.lower())
    if by_protocol is not None:
        return by_protocol
    by_name = _BY_NAME.get(name.partition("-")[0])
    if by_name is not None:
        return by_name
    return _HTTPS if port in _TLS_PORTS else _HTTP
