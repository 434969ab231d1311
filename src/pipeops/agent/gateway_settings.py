"""Lists under `gateway.*`: their shapes, how they are read, what makes them usable.

Files write them as YAML lists with snake_case or camelCase keys; flags and variables as JSON arrays.
Keys are matched without regard to case and underscores, as the Go agent does for JSON; the content of
`tls` keeps its spelling.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from pipeops.runtime.setting_values import Parse

T = TypeVar("T", bound=msgspec.Struct)
Port = int

_PROTOCOLS: Final = frozenset(("TCP", "UDP"))
_ISTIO_PROTOCOLS: Final = frozenset(("TCP", "TLS"))
MAX_ITEMS: Final = 1000


class Listener(msgspec.Struct, frozen=True):
    """One listener of a Gateway."""

    name: str = ""
    port: Port = 0
    protocol: str = ""


class Backend(msgspec.Struct, frozen=True):
    """The Service behind a route."""

    name: str = ""
    namespace: str = ""
    port: Port = 0


class Route(msgspec.Struct, frozen=True):
    """A TCPRoute or UDPRoute; `section_name` names its listener."""

    name: str = ""
    section_name: str = ""
    backend_refs: tuple[Backend, ...] = ()


class IstioPort(msgspec.Struct, frozen=True):
    """The port of an Istio server."""

    number: Port = 0
    name: str = ""
    protocol: str = ""


class IstioServer(msgspec.Struct, frozen=True):
    """One server of an Istio Gateway; `tls` goes to the object as written."""

    port: IstioPort = IstioPort()
    hosts: tuple[str, ...] = ()
    tls: dict[str, Any] = {}


class Destination(msgspec.Struct, frozen=True):
    """Where an Istio route leads."""

    host: str = ""
    port: Port = 0


class IstioRoute(msgspec.Struct, frozen=True):
    """A TCP route, or with `sni_hosts` a TLS route, of an Istio VirtualService."""

    name: str = ""
    port: Port = 0
    destination: Destination = Destination()
    sni_hosts: tuple[str, ...] = ()


def items(kind: type[T], words: str) -> Parse:
    """Return the parser of a list of `kind`; `words` shows the expected form."""

    def parse(value: object) -> tuple[T, ...]:
        expected = f"a list such as {words}"
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except msgspec.DecodeError as error:
                raise ValueError(f"{expected} (as JSON: {error})") from None
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise ValueError(expected)
        try:
            return tuple(_convert(item, kind) for item in value)
        except _WrongShape as error:
            raise ValueError(f"{expected}; {error}") from None

    return parse


class _WrongShape(Exception):
    """A list item that is not what it should be."""


def _convert(value: object, kind: type[T]) -> T:
    """Build a struct from a mapping whose keys are spelt in any of the accepted ways."""
    if not isinstance(value, Mapping):
        raise _WrongShape(f"expected a mapping with {', '.join(kind.__struct_fields__)}")
    hints = get_type_hints(kind)
    fields = {name.replace("_", ""): name for name in kind.__struct_fields__}
    given: dict[str, Any] = {}
    for key, item in value.items():
        name = fields.get(str(key).replace("_", "").lower())
        if name is not None and item is not None:
            given[name] = _value(item, hints[name], name)
    return kind(**given)


def _value(item: object, hint: Any, name: str) -> object:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _convert(item, hint)
    if hint is int:
        return _port(item, name)
    if hint is str:
        if isinstance(item, Mapping | list):
            raise _WrongShape(f"{name} must be text")
        return str(item)
    if hint == dict[str, Any]:
        if not isinstance(item, Mapping):
            raise _WrongShape(f"{name} must be a mapping")
        return dict(item)
    if isinstance(item, str):
        item = [part.strip() for part in item.split(",")]
    if not isinstance(item, list):
        raise _WrongShape(f"{name} must be a list")
    member = hint.__args__[0]
    return tuple(_value(each, member, name) for each in item)


def _port(item: object, name: str) -> int:
    try:
        number = int(item) if isinstance(item, int | str) and not isinstance(item, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65_535:
        raise _WrongShape(f"{name} must be a number from 0 to 65535")
    return number


def with_defaults(listeners: Sequence[Listener]) -> tuple[Listener, ...]:
    """Fill in what may be left out: protocol TCP, name `<protocol>-<port>`."""
    result = []
    for listener in listeners:
        protocol = listener.protocol.upper() or "TCP"
        port = str(listener.port) if listener.port > 0 else "listener"
        name = listener.name or f"{protocol.lower()}-{port}"
        result.append(Listener(name, listener.port, protocol))
    return tuple(result)


def gateway_problems(
    listeners: Sequence[Listener], tcp: Sequence[Route], udp: Sequence[Route]
) -> Iterator[str]:
    """Yield why the Gateway API objects cannot be made from these settings."""
    if not listeners:
        yield "at least one Gateway API listener is required"
    filled = with_defaults(listeners)
    names = [listener.name for listener in filled]
    yield from (f"listener name {name!r} is used twice" for name in _repeated(names))
    for listener in filled:
        if listener.protocol not in _PROTOCOLS:
            yield f"listener {listener.name!r}: protocol must be TCP or UDP"
        if listener.port <= 0:
            yield f"listener {listener.name!r}: a port is required"
    for protocol, routes in (("TCP", tcp), ("UDP", udp)):
        sections = {listener.name for listener in filled if listener.protocol == protocol}
        for route in routes:
            yield from _route_problems(route, protocol, sections)


def _route_problems(route: Route, protocol: str, sections: set[str]) -> Iterator[str]:
    where = f"{protocol} route {route.name!r}"
    if not route.name:
        yield f"a {protocol} route has no name"
    if route.section_name not in sections:
        yield f"{where}: sectionName {route.section_name!r} names no {protocol} listener"
    if not route.backend_refs:
        yield f"{where}: at least one backend is required"
    if any(not backend.name or backend.port <= 0 for backend in route.backend_refs):
        yield f"{where}: each backend needs name and port"


def istio_problems(
    servers: Sequence[IstioServer], tcp: Sequence[IstioRoute], tls: Sequence[IstioRoute]
) -> Iterator[str]:
    """Yield why the Istio objects cannot be made from these settings."""
    for server in servers:
        port = server.port
        if port.number <= 0 or not port.name:
            yield "an Istio server needs port.number and port.name"
        if (port.protocol.upper() or "TCP") not in _ISTIO_PROTOCOLS:
            yield f"Istio server {port.name!r}: protocol must be TCP or TLS"
    for word, routes in (("TCP", tcp), ("TLS", tls)):
        for route in routes:
            where = f"Istio {word} route {route.name!r}"
            if word == "TCP" and route.port <= 0:
                yield f"{where}: a port is required"
            if not route.destination.host or route.destination.port <= 0:
                yield f"{where}: destination needs host and port"
            if word == "TLS" and not route.sni_hosts:
                yield f"{where}: at least one SNI host is required"


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
