"""IngressWatcher: follows whatever asks for routes and whatever they depend on, and keeps a RouteBook equal to it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from pipeops.agent.ingress.annotations import kept
from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.controller import Found, find, is_candidate
from pipeops.agent.ingress.discovery import served
from pipeops.agent.ingress.gateway_api import translate_route
from pipeops.agent.ingress.objects import (
    Gateway,
    GrpcRoute,
    HttpRoute,
    Ingress,
    RouteMeta,
    Service,
)
from pipeops.agent.ingress.routes import Source, Translation
from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.translate import translate
from pipeops.agent.ingress_settings import ServiceName
from pipeops.kube.cache import Cache, Key
from pipeops.kube.client import KubeClient
from pipeops.kube.errors import Forbidden, KubeError, NotFound
from pipeops.kube.reflector import Reflector
from pipeops.kube.watching import Change
from pipeops.runtime.backoff import Backoff
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import TaskScope

log = get_logger(__name__)

INGRESSES: Final = "/apis/networking.k8s.io/v1/ingresses"
SERVICES: Final = "/api/v1/services"
#: How often it is looked whether Gateway API was installed or removed.
DISCOVERY_SECONDS: Final = 300.0
#: Sources translated before others get a turn.
TURN: Final = 50
_SETTLE_SECONDS: Final = 0.2
_ADVICE: Final = "apply the role pipeops-agent-ingress (deploy/manifests/ingress-sync.yaml)"
_KINDS: Final[dict[str, type[HttpRoute | GrpcRoute | Gateway]]] = {
    "gateways": Gateway,
    "httproutes": HttpRoute,
    "grpcroutes": GrpcRoute,
}
_SOURCES: Final = {"httproutes": "HTTPRoute", "grpcroutes": "GRPCRoute"}


class Annotated(Protocol):
    """Has `metadata` with annotations."""

    metadata: RouteMeta


A = TypeVar("A", bound=Annotated)


class Trimmed(Generic[A]):
    """A sink that keeps only what matters of annotations: one alone may be 256 KiB."""

    def __init__(self, cache: Cache[A]) -> None:
        self._cache = cache

    def begin(self) -> None:
        """Sink."""
        self._cache.begin()

    def page(self, items: Sequence[A]) -> None:
        """Sink."""
        for item in items:
            item.metadata.annotations = kept(item.metadata.annotations)
        self._cache.page(items)

    def finish(self) -> None:
        """Sink."""
        self._cache.finish()

    def change(self, change: Change, item: A) -> None:
        """Sink."""
        item.metadata.annotations = kept(item.metadata.annotations)
        self._cache.change(change, item)


class IngressWatcher:
    """Runs inside a scope; call `start` once.

    Attributes:
        book: what all of it asks for.
        ready: set once everything there is has been read and translated.
        controller: the ingress controller's Service, as far as is known.
    """

    def __init__(
        self,
        client: KubeClient,
        publishing: Publishing,
        *,
        wanted: ServiceName | None = None,
        changed: Callable[[], None],
        found: Callable[[Found | None], None],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`changed` is called when the book has changed, `found` when the controller's Service has."""
        self._client = client
        self._publishing = publishing
        self._wanted = wanted
        self._changed = changed
        self._found = found
        self._rng = rng
        self._sleep = sleep
        self._ingresses: Cache[Ingress] = Cache(
            lambda key, _, __: self._touch(Source("Ingress", *key))
        )
        self._services: Cache[Service] = Cache(self._on_service)
        self._gateways: Cache[Gateway] = Cache(self._on_gateway)
        self._http: Cache[HttpRoute] = self._route_cache("HTTPRoute")
        self._grpc: Cache[GrpcRoute] = self._route_cache("GRPCRoute")
        self._candidates: set[Key] = set()
        self._dirty: dict[Source, None] = {}
        self._touched = asyncio.Event()
        self._listed = asyncio.Event()
        self._followed: dict[str, tuple[str, Reflector[Any], asyncio.Task[object]]] = {}
        self._absent: set[str] = set()
        self.book = RouteBook()
        self.ready = asyncio.Event()
        self.controller: Found | None = None

    def start(self, scope: TaskScope) -> None:
        """Begin to follow; ends with the scope."""
        scope.spawn(self._follow(scope), name="following")
        scope.spawn(self._translate(), name="translating")

    def publish_as(self, publishing: Publishing) -> None:
        """Something that all routes depend on has changed."""
        if publishing == self._publishing:
            return
        self._publishing = publishing
        for source in self._all_sources():
            self._touch(source)

    # -- following -------------------------------------------------------------------------

    async def _follow(self, scope: TaskScope) -> None:
        ingresses = self._reflector(INGRESSES, Ingress, Trimmed(self._ingresses))
        services = self._reflector(SERVICES, Service, self._services)
        scope.spawn(ingresses.run(), name="ingresses")
        scope.spawn(services.run(), name="services")
        self._follow_kinds(scope, await self._discover())
        await services.synced.wait()
        await ingresses.synced.wait()
        await self._kinds_settled()
        self._look_for_controller(force=True)
        self._listed.set()
        self._touched.set()
        while True:
            await self._sleep(DISCOVERY_SECONDS * self._rng.uniform(0.9, 1.1))
            self._follow_kinds(scope, await self._discover())

    async def _discover(self) -> dict[str, str]:
        backoff = Backoff(self._rng, first=0.5, cap=30.0)
        while True:
            try:
                return await served(self._client)
            except Forbidden:
                # As before: what may not be looked at any more has not gone.
                return {resource: path for resource, (path, _, _) in self._followed.items()}
            except KubeError as error:
                log.debug("the cluster does not tell whether it has Gateway API", error=str(error))
                await self._sleep(next(backoff))

    def _follow_kinds(self, scope: TaskScope, paths: dict[str, str]) -> None:
        """Follow what is served now, and no longer what is not, if that is still so when asked again."""
        absent = self._followed.keys() - paths.keys()
        for resource, (path, _, task) in list(self._followed.items()):
            if paths.get(resource, path) != path or resource in absent & self._absent:
                task.cancel()
                del self._followed[resource]
                if resource not in paths:
                    self._empty(resource)
        self._absent = absent
        for resource, path in paths.items():
            if resource in self._followed:
                continue
            log.info("following routes of Gateway API", path=path)
            reflector: Reflector[Any] = self._reflector(
                path, _KINDS[resource], self._sink_of(resource)
            )
            task = scope.spawn(reflector.run(), name=resource)
            self._followed[resource] = (path, reflector, task)

    def _sink_of(self, resource: str) -> Any:
        if resource == "gateways":
            return self._gateways
        return Trimmed(self._http) if resource == "httproutes" else Trimmed(self._grpc)

    def _empty(self, resource: str) -> None:
        """The kind is gone, and with it every object: as a list that has none."""
        sink = self._sink_of(resource)
        sink.begin()
        sink.finish()

    async def _kinds_settled(self) -> None:
        """Wait until each kind is known, or known not to be ours to read."""
        for _, reflector, _ in list(self._followed.values()):
            while not reflector.synced.is_set() and not isinstance(
                reflector.problem, Forbidden | NotFound
            ):
                await self._sleep(_SETTLE_SECONDS)

    def _reflector(self, path: str, kind: type[Any], sink: Any) -> Reflector[Any]:
        return Reflector(
            self._client, path, kind, sink, rng=self._rng, sleep=self._sleep, advice=_ADVICE
        )

    # -- what has changed ------------------------------------------------------------------

    def _touch(self, source: Source) -> None:
        self._dirty[source] = None
        self._touched.set()

    def _route_cache(self, kind: str) -> Cache[Any]:
        return Cache(lambda key, _, __: self._touch(Source(kind, *key)))

    def _on_gateway(self, key: Key, _: Gateway | None, __: Gateway | None) -> None:
        for source in self.book.sources_of_gateway(key):
            self._touch(source)

    def _on_service(self, key: Key, before: Service | None, after: Service | None) -> None:
        if before is None or after is None or before.spec != after.spec:
            for source in self.book.sources_of_service(key):
                self._touch(source)
        was = key in self._candidates
        is_one = after is not None and is_candidate(after, self._wanted)
        if is_one:
            self._candidates.add(key)
        else:
            self._candidates.discard(key)
        if (was or is_one) and self._listed.is_set():
            self._look_for_controller()

    def _look_for_controller(self, *, force: bool = False) -> None:
        found = find(self._services, self._candidates, self._wanted)
        if force or found != self.controller:
            self.controller = found
            self._found(found)

    # -- translating -----------------------------------------------------------------------

    def _all_sources(self) -> list[Source]:
        found = [Source("Ingress", *_key(item.metadata)) for item in self._ingresses]
        found += [Source("HTTPRoute", *_key(item.metadata)) for item in self._http]
        found += [Source("GRPCRoute", *_key(item.metadata)) for item in self._grpc]
        return found

    async def _translate(self) -> None:
        """Translate what was touched, in turns: thousands may be at once."""
        await self._listed.wait()
        while True:
            await self._touched.wait()
            self._touched.clear()
            changed = False
            while self._dirty:
                for _ in range(min(TURN, len(self._dirty))):
                    source = next(iter(self._dirty))
                    del self._dirty[source]
                    changed = self._translate_one(source) or changed
                await asyncio.sleep(0)
            first = not self.ready.is_set()
            self.ready.set()
            if changed or first:
                self._changed()

    def _translate_one(self, source: Source) -> bool:
        translation = self._translation(source)
        if translation is None:
            return self.book.remove(source)
        return self.book.put(source, translation)

    def _translation(self, source: Source) -> Translation | None:
        key = (source.namespace, source.name)
        if source.kind == "Ingress":
            ingress = self._ingresses.get(*key)
            if ingress is None:
                return None
            return translate(ingress, self._services, self._publishing)
        routes: Cache[HttpRoute] | Cache[GrpcRoute]
        routes = self._http if source.kind == "HTTPRoute" else self._grpc
        route = routes.get(*key)
        if route is None:
            return None
        return translate_route(route, self._services, self._gateways, self._publishing)


def _key(meta: RouteMeta) -> Key:
    return meta.namespace, meta.name


def publishing_with(
    publishing: Publishing, controller: Found | None, balancer: frozenset[str]
) -> Publishing:
    """The settings, with what was found."""
    return msgspec.structs.replace(
        publishing, controller=controller.target if controller else None, balancer=balancer
    )
