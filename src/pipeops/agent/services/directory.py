"""ServiceDirectory: where a Service's port is and what it speaks, from its objects as far as the agent may read them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeops.agent.services.api_server import ApiServerAddresses, Reader
from pipeops.agent.services.objects import (
    EndpointSliceList,
    ServiceObject,
    ServicePort,
    addresses_of,
    service_path,
    slices_path,
)
from pipeops.agent.services.speech import Speech, speech_of
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetRefused, TargetResolver
from pipeops.kube.errors import Forbidden, KubeError, NotFound
from pipeops.protocol.exchange.service_failure import ServiceFailure
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

FRESH_FOR: Final = 10.0  # seconds; a changed endpoint shows earlier, by refusing a connection
MISSING_FOR: Final = 2.0  # seconds; what is not there may come at any moment
STALE_FOR: Final = 600.0  # seconds that an answer serves on while the API server cannot be asked
FORBIDDEN_FOR: Final = 300.0  # seconds until rights are tried again
MAX_KNOWN: Final = 512
MAX_ENDPOINTS: Final = 64  # of one port; more do not spread the load of one agent any better


class Found(NamedTuple):
    """A Service's port.

    Attributes:
        endpoints: at least one, all checked.
        verify: its certificate is to be verified, if there is something to verify it with.
    """

    endpoints: tuple[Endpoint, ...]
    speech: Speech
    verify: bool = True


@dataclass(slots=True)
class _Known:
    until: float
    found: Found | TargetRefused


class ServiceDirectory:
    """Looks Services up, once for all who ask at a time, and remembers for seconds.

    Where the agent may not read Services, or the API server does not answer, there is DNS and the port's number.
    """

    def __init__(
        self,
        resolver: TargetResolver,
        api: ApiServerAddresses,
        *,
        now: Callable[[], float],
        reader: Reader | None = None,
    ) -> None:
        self._resolver = resolver
        self._api = api
        self._now = now
        self._reader = reader
        self._known: OrderedDict[ServiceTarget, _Known] = OrderedDict()
        self._asking: dict[ServiceTarget, asyncio.Future[Found | TargetRefused]] = {}
        self._forbidden_until = 0.0

    def known(self, target: ServiceTarget) -> Found | None:
        """What is fresh; None: `find` has to look. Hot path."""
        known = self._known.get(target)
        if known is None or known.until < self._now():
            return None
        found = known.found
        return None if isinstance(found, TargetRefused) else found

    def forget(self, target: ServiceTarget) -> None:
        """It is not where it was said to be: look again next time, and keep the old answer for bad days."""
        self._resolver.forget(target)
        known = self._known.get(target)
        if known is not None:
            known.until = min(known.until, self._now())

    async def find(self, target: ServiceTarget) -> Found:
        """Where it is.

        Raises:
            TargetRefused: no such Service, nothing ready behind it, or it leads where no Service may.
        """
        known = self._known.get(target)
        if known is not None and self._now() < known.until:
            return _given(known.found)
        asking = self._asking.get(target)
        if asking is not None:
            return _given(await asyncio.shield(asking))
        asking = self._asking[target] = asyncio.get_running_loop().create_future()
        try:
            found = await self._look(target)
            asking.set_result(found)
        except Exception as error:
            asking.set_exception(error)
            asking.exception()  # told to whoever else asks, and raised here
            raise
        finally:
            asking.cancel()  # if we were stopped
            del self._asking[target]
        return _given(found)

    async def _look(self, target: ServiceTarget) -> Found | TargetRefused:
        try:
            found = await self._ask_or_keep(target, self._known.get(target))
        except TargetRefused as refusal:
            found = refusal
        lasting = MISSING_FOR if isinstance(found, TargetRefused) else FRESH_FOR
        self._remember(target, _Known(self._now() + lasting, found))
        return found

    async def _ask_or_keep(
        self, target: ServiceTarget, before: _Known | None
    ) -> Found | TargetRefused:
        try:
            return await self._ask(target)
        except KubeError as error:
            log.warning("service not looked up", service=str(target), error=str(error))
        if before is not None and self._now() < before.until + STALE_FOR:
            return before.found
        return await self._by_name(target)

    def _remember(self, target: ServiceTarget, known: _Known) -> None:
        self._known.pop(target, None)
        while len(self._known) >= MAX_KNOWN:
            self._known.popitem(last=False)
        self._known[target] = known

    async def _ask(self, target: ServiceTarget) -> Found:
        await self._api.refresh()
        if self._reader is None or self._now() < self._forbidden_until:
            return await self._by_name(target)
        try:
            service = await self._reader.get(
                service_path(target.namespace, target.name), ServiceObject
            )
        except NotFound as error:
            raise TargetRefused(
                f"there is no service {target.name} in the namespace {target.namespace}",
                503,
                ServiceFailure.NO_SERVICE,
            ) from error
        except Forbidden as error:
            self._forbidden_until = self._now() + FORBIDDEN_FOR
            log.warning("services are looked up by name only", error=str(error))
            return await self._by_name(target)
        port = self._check(target, service)
        speech = speech_of(port.app_protocol or "", port.name, port.port)
        endpoints = await self._endpoints(self._reader, target, service, port)
        return Found(endpoints, speech, verify=service.verify_tls)

    def _check(self, target: ServiceTarget, service: ServiceObject) -> ServicePort:
        if service.spec.type == "ExternalName":
            raise TargetRefused(
                f"the service {target} is a name outside the cluster (ExternalName)"
            )
        if not service.spec.selector and not self._resolver.rule.trusts(target):
            raise TargetRefused(
                f"the service {target} has no selector, so it may lead anywhere; list it under services.allow"
                " of the agent, with its namespace spelt out, if that is wanted"
            )
        port = service.port(target.port)
        if port is None:
            raise TargetRefused(
                f"the service {target.name}.{target.namespace} has no port {target.port}",
                503,
                ServiceFailure.NO_SERVICE,
            )
        return port

    async def _endpoints(
        self, reader: Reader, target: ServiceTarget, service: ServiceObject, port: ServicePort
    ) -> tuple[Endpoint, ...]:
        path = slices_path(target.namespace, target.name)
        try:
            slices = await reader.get(path, EndpointSliceList)
        except (Forbidden, NotFound):  # before Kubernetes 1.21 there are none of this version
            if not service.spec.selector:
                raise TargetRefused(
                    f"where the service {target} leads cannot be seen: the agent may not list endpointslices"
                ) from None
            return (await self._by_name(target)).endpoints
        addresses = addresses_of(slices, port.name)
        if not addresses:
            raise TargetRefused(
                f"the service {target} has no ready endpoint", 503, ServiceFailure.NO_ENDPOINTS
            )
        chosen = addresses[:MAX_ENDPOINTS]
        return self._checked(target, [Endpoint(host, number) for host, number in chosen])

    async def _by_name(self, target: ServiceTarget) -> Found:
        endpoints = await self._resolver.resolve_all(target)
        return Found(self._checked(target, list(endpoints)), speech_of("", "", target.port))

    def _checked(self, target: ServiceTarget, endpoints: list[Endpoint]) -> tuple[Endpoint, ...]:
        """All of them, or none: a Service with one wrong address was made by somebody who means it."""
        for endpoint in endpoints:
            if self._api.own(endpoint):
                raise TargetRefused(f"the service {target} leads to the Kubernetes API")
            if not self._resolver.allows(endpoint.host):
                raise TargetRefused(f"the service {target} has an address that may not be dialled")
        return tuple(endpoints)


def _given(found: Found | TargetRefused) -> Found:
    if isinstance(
        found, TargetRefused
    ):  # a new one each time: an exception keeps the frames it went through
        raise TargetRefused(str(found), found.status, found.failure)
    return found
