"""ApiServerAddresses: where the Kubernetes API is, so that no Service of another name leads there."""

import asyncio
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from pipeops.agent.services.objects import (
    EndpointSliceList,
    ServiceObject,
    service_path,
    slices_path,
)
from pipeops.agent.targets import Endpoint, Lookup
from pipeops.kube.errors import KubeError

T = TypeVar("T")

KNOWN_FOR: Final = 60.0  # seconds


class Reader(Protocol):
    """Reads objects with the agent's own rights: `kube.client.KubeClient`."""

    async def get(self, path: str, kind: type[T]) -> T:
        """One answer. Raises `KubeError`."""


class ApiServerAddresses:
    """Asks whoever may know: the environment, DNS, the API server itself. What was found once stays known.

    The Service's own addresses are its own on every port; those of its endpoints are machines, where other servers
    have other ports.
    """

    def __init__(
        self,
        kube_api: Endpoint,
        domain: str,
        *,
        now: Callable[[], float],
        lookup: Lookup,
        reader: Reader | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._name = f"kubernetes.default.svc.{domain}"
        self._now = now
        self._lookup = lookup
        self._reader = reader
        self._hosts = _plain_all([environment.get("KUBERNETES_SERVICE_HOST", "")])
        self._pairs = {(host, kube_api.port) for host in _plain_all([kube_api.host])}
        self._until = 0.0
        self._looking: asyncio.Future[None] | None = None

    async def refresh(self) -> None:
        """Look again if the last look was a while ago; nobody goes on before the first has ended."""
        if self._now() < self._until:
            return
        if self._looking is not None:
            await asyncio.shield(self._looking)
            return
        self._looking = looking = asyncio.get_running_loop().create_future()
        try:
            with suppress(OSError):  # outside a cluster there is no such name
                self._hosts |= _plain_all(await self._lookup(self._name, 443))
            if self._reader is not None:
                await self._read(self._reader)
            self._until = self._now() + KNOWN_FOR
        finally:
            self._looking = None
            looking.set_result(None)

    async def _read(self, reader: Reader) -> None:
        try:
            service = await reader.get(service_path("default", "kubernetes"), ServiceObject)
            self._hosts |= _plain_all(service.spec.cluster_ips or ())
            slices = await reader.get(slices_path("default", "kubernetes"), EndpointSliceList)
        except KubeError:
            return  # not allowed, or not now
        for piece in slices.items or ():
            for endpoint in piece.endpoints or ():
                for host in _plain_all(endpoint.addresses):
                    self._pairs |= {(host, port.port) for port in piece.ports or () if port.port}

    def own(self, endpoint: Endpoint) -> bool:
        """Whether an address is the API server's."""
        host = plain(endpoint.host)
        return host in self._hosts or (host, endpoint.port) in self._pairs


def plain(host: str) -> str:
    """An address in its one spelling; empty for what is none."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip)


def _plain_all(hosts: Iterable[str]) -> set[str]:
    return {found for host in hosts if (found := plain(host))}
