"""Services as a real API server writes them, read with the rights of the shipped role."""

import asyncio
from typing import Any

import pytest

from pipeops.agent.services.access import AllowedServices, PublishedServices, ServiceAccess
from pipeops.agent.services.api_server import ApiServerAddresses
from pipeops.agent.services.directory import ServiceDirectory
from pipeops.agent.services.speech import Speech
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetRefused, TargetResolver
from pipeops.kube.client import KubeClient
from pipeops.kube.config import load_kubeconfig
from pipeops.protocol.exchange.service_failure import ServiceFailure

pytestmark = [pytest.mark.cluster]


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "api", "port": 80, "targetPort": 8443, "appProtocol": "https"}]
    body = {"selector": {"app": name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def endpoints(name: str, *addresses: str, port: int = 8443) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "api", "port": port}],
    }


class Made:
    def __init__(self, apiserver: Any) -> None:
        self.admin = KubeClient(load_kubeconfig(str(apiserver.admin_kubeconfig)))
        self.namespace = apiserver.new_namespace()
        access = load_kubeconfig(str(apiserver.agent_kubeconfig))
        reader = KubeClient(access)
        now = asyncio.get_running_loop().time
        resolver = TargetResolver(
            ServiceAccess(PublishedServices(), AllowedServices(("*/*:*",))),
            Endpoint(access.host, access.port),
            "c",
            now,
            self._lookup,
        )
        api = ApiServerAddresses(
            resolver.kube_api, "c", now=now, lookup=self._lookup, reader=reader, environment={}
        )
        self.directory = ServiceDirectory(resolver, api, now=now, reader=reader)

    async def _lookup(self, host: str, port: int) -> list[str]:
        raise OSError("no DNS here")

    async def create(self, *objects: dict[str, Any]) -> None:
        for each in objects:
            plural = "services" if each["kind"] == "Service" else "endpointslices"
            group = each["apiVersion"]
            root = "/api/v1" if group == "v1" else f"/apis/{group}"
            await self.admin.post(f"{root}/namespaces/{self.namespace}/{plural}", each, dict)

    def target(self, name: str) -> ServiceTarget:
        return ServiceTarget(name, self.namespace, 80)


async def test_endpoints_and_protocol_come_from_the_objects(apiserver: Any) -> None:
    made = Made(apiserver)
    await made.create(service("web"), endpoints("web", "10.244.0.5", "10.244.0.6"))
    found = await made.directory.find(made.target("web"))
    assert [str(each.host) for each in found.endpoints] == ["10.244.0.5", "10.244.0.6"]
    assert {each.port for each in found.endpoints} == {8443}
    assert found.speech == Speech(tls=True)


async def test_refusals_and_gaps(apiserver: Any) -> None:
    made = Made(apiserver)
    outside = {
        "type": "ExternalName",
        "externalName": "evil.example",
        "selector": None,
        "ports": None,
    }
    await made.create(
        service("empty"),
        service("outside", **outside),
        service("manual", selector=None),
        endpoints("manual", "10.244.0.7"),
    )
    expected = {
        "empty": ServiceFailure.NO_ENDPOINTS,
        "missing": ServiceFailure.NO_SERVICE,
        "outside": ServiceFailure.REFUSED,
        "manual": ServiceFailure.REFUSED,
    }
    for name, failure in expected.items():
        with pytest.raises(TargetRefused) as raised:
            await made.directory.find(made.target(name))
        assert raised.value.failure is failure, name
