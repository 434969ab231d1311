"""Where the Kubernetes API is."""

import asyncio

from pipeops.agent.services.api_server import KNOWN_FOR, ApiServerAddresses, plain
from pipeops.agent.targets import Endpoint, ServiceTarget
from pipeops.kube.errors import KubeUnreachable
from tests.support.service_tunnel import Objects


class Dns:
    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.addresses:
            raise OSError("no such name")
        return self.addresses


def made(
    dns: Dns,
    objects: Objects | None = None,
    *,
    kube_api: str = "10.0.0.1",
    service_host: str = "",
    clock: list[float] | None = None,
) -> ApiServerAddresses:
    now = clock or [1.0]
    return ApiServerAddresses(
        Endpoint(kube_api, 6443),
        "cluster.local",
        now=lambda: now[0],
        lookup=dns,
        reader=objects,
        environment={"KUBERNETES_SERVICE_HOST": service_host},
    )


def objects() -> Objects:
    found = Objects()
    found.put(
        ServiceTarget("kubernetes", "default", 443),
        "192.0.2.7",
        port=6444,
        name="https",
        spec={"selector": None, "clusterIPs": ["10.96.0.1", "fd00::1"]},
    )
    return found


async def test_its_services_addresses_are_its_own_on_every_port() -> None:
    api = made(Dns("10.97.0.1"), objects(), service_host="10.98.0.1")
    await api.refresh()
    for host in ("10.96.0.1", "10.97.0.1", "10.98.0.1", "fd00:0::1", "::ffff:10.96.0.1"):
        assert api.own(Endpoint(host, 80))


async def test_machines_have_other_servers_on_other_ports() -> None:
    api = made(Dns(), objects())
    await api.refresh()
    assert api.own(Endpoint("192.0.2.7", 6444))
    assert api.own(Endpoint("10.0.0.1", 6443))
    assert not api.own(Endpoint("192.0.2.7", 443))
    assert not api.own(Endpoint("10.0.0.1", 80))


async def test_without_rights_or_dns_there_is_what_the_agent_itself_uses() -> None:
    unreadable = Objects()
    unreadable.errors["/"] = KubeUnreachable("away")
    api = made(Dns(), unreadable)
    await api.refresh()
    assert api.own(Endpoint("10.0.0.1", 6443))
    assert not made(Dns(), kube_api="api.example").own(Endpoint("api.example", 6443))


async def test_whoever_comes_while_it_is_looked_up_waits_for_it() -> None:
    dns = Dns("10.97.0.1")
    api = made(dns)
    await asyncio.gather(api.refresh(), api.refresh())
    assert dns.asked == 1
    assert api.own(Endpoint("10.97.0.1", 80))


async def test_it_is_looked_up_again_and_what_was_known_stays() -> None:
    dns, clock = Dns("10.97.0.1"), [1.0]
    api = made(dns, clock=clock)
    await api.refresh()
    await api.refresh()
    assert dns.asked == 1
    clock[0] += KNOWN_FOR
    dns.addresses = []
    await api.refresh()
    assert dns.asked == 2
    assert api.own(Endpoint("10.97.0.1", 80))


def test_addresses_have_one_spelling() -> None:
    assert plain("fe80::0:1%eth0") == "fe80::1"
    assert plain("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain("api.example") == ""
