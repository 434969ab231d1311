"""Bodies of the route registry, as Go agents and ours send them (reference gateway §2), and the routes they mean. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from pipeops.control.routes.host import check_host
from pipeops.control.routes.route import PathType, Route, RouteKey, RoutingMode

SYNC_PATH = "/api/v1/gateway/routes/sync"
MAX_SYNC_BODY = 8 * 1024 * 1024  # bytes; 2,000 Ingresses with 6,000 paths take less than 2 MiB
MAX_PATH = 1024
MAX_ANNOTATION = 1024  # characters of one value
MAX_ANNOTATIONS = 16 * 1024  # of all keys and values
MAX_NAME = 253
KEPT_ANNOTATIONS = (
    "pipeops.io/",
    "traefik.ingress.kubernetes.io/",
    "nginx.ingress.kubernetes.io/",
    "cert-manager.io/",
    "kubernetes.io/ingress.class",
)
"""Prefixes of annotations that are kept (reference gateway §1.9)."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATH = re.compile(r"/[!-~]*")
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):([1-9][0-9]{0,4})")

T = TypeVar("T", bound=msgspec.Struct)


class BodyInvalid(Exception):
    """A body, or one route in it, cannot be used; the text says why, for people."""


class RegisterBody(msgspec.Struct, kw_only=True):
    """POST …/register: one host and path. `ingress_namespace` is ours; `namespace` is the Service's."""

    hostname: str
    cluster_uuid: str = ""
    namespace: str = ""
    service_name: str = ""
    service_port: int = 0
    ingress_name: str = ""
    ingress_namespace: str = ""
    path: str = ""
    path_type: str = ""
    tls: bool = False
    annotations: dict[str, str] | None = None
    public_endpoint: str = ""
    routing_mode: str = ""


class UnregisterBody(msgspec.Struct, kw_only=True):
    """POST …/unregister: a host; ours may name a path or an Ingress."""

    hostname: str
    cluster_uuid: str = ""
    path: str = ""
    ingress_name: str = ""
    namespace: str = ""


class ControllerBody(msgspec.Struct, kw_only=True):
    """The ingress controller's Service."""

    name: str = ""
    namespace: str = ""


class PathBody(msgspec.Struct, kw_only=True):
    """One path of a host. `namespace` of the Service is ours."""

    path: str = ""
    path_type: str = ""
    service_name: str = ""
    service_port: int = 0
    namespace: str = ""


class RuleBody(msgspec.Struct, kw_only=True):
    """The paths of one host."""

    host: str = ""
    tls: bool = False
    paths: list[PathBody] | None = None


class IngressBody(msgspec.Struct, kw_only=True):
    """One Ingress; `namespace` is its own. `routing_mode` is ours, where it is not that of the whole body."""

    namespace: str = ""
    ingress_name: str = ""
    routing_mode: str = ""
    annotations: dict[str, str] | None = None
    rules: list[RuleBody] | None = None


class SyncBody(msgspec.Struct, kw_only=True):
    """POST …/sync: all Ingresses of a cluster."""

    cluster_uuid: str = ""
    public_endpoint: str = ""
    routing_mode: str = ""
    ingress_controller: ControllerBody | None = None
    ingresses: list[IngressBody] | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A route that was left out of a sync."""

    host: str
    path: str
    ingress: str
    problem: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the body of a sync means."""

    cluster_uuid: str
    routes: list[Route]
    rejected: list[Rejected]


def decode(body: bytes, kind: type[T]) -> T:
    """Return a body.

    Raises:
        BodyInvalid: It is no JSON of this shape.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyInvalid(f"the body cannot be used: {error}") from error
    except RecursionError as error:
        raise BodyInvalid("the body cannot be used: it is nested too deeply") from error


def registered_route(body: RegisterBody, cluster: str) -> Route:
    """Return the route that a registration asks for.

    Raises:
        BodyInvalid: A member cannot be used.
    """
    return _route(
        cluster=cluster,
        host=body.hostname,
        path=PathBody(
            path=body.path,
            path_type=body.path_type,
            service_name=body.service_name,
            service_port=body.service_port,
        ),
        namespace=body.namespace,
        ingress=f"{body.ingress_namespace or body.namespace}/{body.ingress_name}",
        tls=body.tls,
        direct=_endpoint(body.routing_mode, body.public_endpoint),
        annotations=kept_annotations(body.annotations or {}),
    )


def wish_of(body: bytes, cluster: str) -> Wish:
    """Return what a sync asks for; routes that cannot be used are left out, the others count.

    One bad Ingress, which anybody in the cluster may write, must not take the cluster's other routes along.

    Raises:
        BodyInvalid: It is no JSON of this shape.
    """
    sync = decode(body, SyncBody)
    wish = Wish(sync.cluster_uuid, [], [])
    owners: dict[RouteKey, str] = {}
    for ingress in sync.ingresses or ():
        name = f"{ingress.namespace}/{ingress.ingress_name}"
        annotations = kept_annotations(ingress.annotations or {})
        direct = _endpoint(ingress.routing_mode or sync.routing_mode, sync.public_endpoint)
        for rule, path in _paths(ingress):
            try:
                route = _route(
                    cluster=cluster,
                    host=rule.host,
                    path=path,
                    namespace=_namespace(sync, ingress, path),
                    ingress=name,
                    tls=rule.tls,
                    direct=direct,
                    annotations=annotations,
                )
                first = owners.setdefault(route.key, name)
                if first != name:
                    raise BodyInvalid(f"the Ingress {first} has the same host and path")
            except BodyInvalid as error:
                wish.rejected.append(
                    Rejected(rule.host[:MAX_NAME], path.path[:MAX_PATH], name, str(error))
                )
            else:
                wish.routes.append(route)
    return wish


def kept_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations of the allow-list, each and all of them bounded."""
    kept: dict[str, str] = {}
    room = MAX_ANNOTATIONS
    for key in sorted(key for key in annotations if key.startswith(KEPT_ANNOTATIONS)):
        value = annotations[key]
        size = len(key) + len(value)
        if len(value) <= MAX_ANNOTATION and len(key) <= MAX_NAME and size <= room:
            kept[key] = value
            room -= size
    return kept


def _paths(ingress: IngressBody) -> Iterator[tuple[RuleBody, PathBody]]:
    for rule in ingress.rules or ():
        for path in rule.paths or ():
            yield rule, path


def _namespace(sync: SyncBody, ingress: IngressBody, path: PathBody) -> str:
    """Where a path's Service is. A Go agent names the ingress controller's Service, but the namespace of the Ingress."""
    controller = sync.ingress_controller
    if path.namespace:
        return path.namespace
    if controller is not None and controller.name and controller.name == path.service_name:
        return controller.namespace
    return ingress.namespace


def _endpoint(mode: str, endpoint: str) -> str:
    """The address of direct mode, or an empty string: without a usable address requests go through the tunnel."""
    found = _ENDPOINT.fullmatch(endpoint)
    usable = mode == RoutingMode.DIRECT and found is not None and int(found[2]) < 65_536
    return endpoint if usable else ""


def _route(
    *,
    cluster: str,
    host: str,
    path: PathBody,
    namespace: str,
    ingress: str,
    direct: str,
    **more: Any,
) -> Route:
    return Route(
        RouteKey(_host(host), _path(path.path), _path_type(path.path_type)),
        cluster,
        _label(namespace, "namespace"),
        _label(path.service_name, "service"),
        _port(path.service_port),
        ingress=ingress[: 2 * MAX_NAME],
        mode=RoutingMode.DIRECT if direct else RoutingMode.TUNNEL,
        public_endpoint=direct,
        **more,
    )


def _host(text: str) -> str:
    if not text:
        return text  # a rule without a host: whether it may have that is the registry's question
    try:
        return check_host(text)
    except ValueError as error:
        raise BodyInvalid(str(error)) from error


def _path(text: str) -> str:
    path = text or "/"
    if len(path) > MAX_PATH:
        raise BodyInvalid(f"a path has at most {MAX_PATH} characters")
    if _PATH.fullmatch(path) is None:
        raise BodyInvalid("a path begins with '/' and has no spaces, control or non-ASCII characters")  # fmt: skip
    return path


def _path_type(text: str) -> PathType:
    try:
        return PathType(text or PathType.PREFIX)
    except ValueError:
        raise BodyInvalid("the path type is none of Exact, Prefix, ImplementationSpecific") from None  # fmt: skip


def _label(text: str, what: str) -> str:
    if _LABEL.fullmatch(text) is None:
        raise BodyInvalid(f"the name of the {what} is no DNS label")
    return text


def _port(number: int) -> int:
    if not 0 < number < 65_536:
        raise BodyInvalid("the service port is not between 1 and 65535")
    return number
