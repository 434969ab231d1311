"""Which Services may be dialled, and under which address."""

import pytest

from pipeops.agent.targets import (
    MAX_ADDRESSES,
    Endpoint,
    NoSystemServices,
    ServiceTarget,
    TargetRefused,
    TargetResolver,
    check_names,
    cluster_domain,
    is_allowed,
)

API = Endpoint("10.0.0.1", 6443)


class Dns:
    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if not self.addresses:
            raise OSError("Name or service not known")
        return self.addresses


def resolver(dns: Dns, now: list[float] | None = None) -> TargetResolver:
    clock = now or [0.0]
    return TargetResolver(NoSystemServices(), API, "corp.test", lambda: clock[0], dns)


async def test_a_service_is_resolved_in_the_clusters_domain_and_not_twice() -> None:
    dns, now = Dns("10.1.2.3"), [0.0]
    made = resolver(dns, now)
    target = ServiceTarget("web", "shop", 80)
    assert await made.resolve(target) == Endpoint("10.1.2.3", 80)
    await made.resolve(target)
    assert dns.asked == ["web.shop.svc.corp.test"]
    now[0] = 60.0
    await made.resolve(target)
    assert len(dns.asked) == 2


async def test_the_api_server_has_its_own_address() -> None:
    dns = Dns()
    assert await resolver(dns).resolve(ServiceTarget("kubernetes", "default", 443)) == API
    assert dns.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "169.254.169.254", "169.254.1.1", "fe80::1%eth0", "224.0.0.1", "0.0.0.0",
        "::", "::ffff:127.0.0.1", "fd00:ec2::254", "100.100.100.200", "ff02::1",
        "64:ff9b::169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "255.255.255.255",
    ],
)  # fmt: skip
async def test_addresses_that_are_no_services_are_refused(address: str) -> None:
    assert not is_allowed(address)
    with pytest.raises(TargetRefused, match="no address that may be dialled"):
        await resolver(Dns(address)).resolve(ServiceTarget("web", "shop", 80))


async def test_the_first_address_that_may_be_dialled_is_taken() -> None:
    made = resolver(Dns("127.0.0.1", "10.0.0.9"))
    assert (await made.resolve(ServiceTarget("web", "shop", 80))).host == "10.0.0.9"


async def test_all_addresses_that_may_be_dialled_are_given_once_and_in_order() -> None:
    made = resolver(Dns("10.0.0.9", "127.0.0.1", "10.0.0.8", "10.0.0.9"))
    found = await made.resolve_all(ServiceTarget("web", "shop", 80))
    assert [endpoint.host for endpoint in found] == ["10.0.0.9", "10.0.0.8"]


async def test_a_name_of_thousands_of_addresses_is_some_of_them() -> None:
    made = resolver(Dns(*[f"10.0.{i}.{j}" for i in range(9) for j in range(1, 99)]))
    assert len(await made.resolve_all(ServiceTarget("web", "shop", 80))) == MAX_ADDRESSES


async def test_another_rule_has_the_same_addresses_and_its_own_opinion() -> None:
    dns = Dns("10.0.0.9")
    made = resolver(dns)
    await made.resolve(ServiceTarget("web", "shop", 80))
    other = made.with_rule(NoSystemServices(frozenset(("shop",))))
    with pytest.raises(TargetRefused):
        await other.resolve(ServiceTarget("web", "shop", 80))
    made.forget(ServiceTarget("web", "shop", 80))
    await made.resolve(ServiceTarget("web", "shop", 80))
    assert len(dns.asked) == 2


def test_what_is_no_address_may_not_be_dialled() -> None:
    made = resolver(Dns())
    assert made.allows("10.0.0.9")
    assert not made.allows("metadata.google.internal")
    assert not NoSystemServices().trusts(ServiceTarget("web", "shop", 80))


async def test_unknown_names_and_system_namespaces() -> None:
    with pytest.raises(TargetRefused) as raised:
        await resolver(Dns()).resolve(ServiceTarget("web", "shop", 80))
    assert raised.value.status == 502
    with pytest.raises(TargetRefused, match="kube-system"):
        await resolver(Dns("10.0.0.9")).resolve(ServiceTarget("kube-dns", "kube-system", 53))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (ServiceTarget("", "d", 80), "invalid service name"),
        (ServiceTarget("Web", "d", 80), "invalid service name"),
        (ServiceTarget("-web", "d", 80), "invalid service name"),
        (ServiceTarget("w" * 64, "d", 80), "invalid service name"),
        (ServiceTarget("a.b", "d", 80), "invalid service name"),
        (ServiceTarget("web", "../d", 80), "invalid namespace"),
        (ServiceTarget("web", "d", 0), "invalid service port"),
        (ServiceTarget("web", "d", 65536), "invalid service port"),
    ],
)
def test_what_cannot_be_a_service(target: ServiceTarget, said: str) -> None:
    with pytest.raises(TargetRefused, match=said):
        check_names(target)


def test_the_domain_comes_from_the_search_list(tmp_path) -> None:
    conf = tmp_path / "resolv.conf"
    assert cluster_domain(conf) == "cluster.local"
    conf.write_text("nameserver 1.1.1.1\nsearch ns.svc.corp.test svc.corp.test corp.test\n")
    assert cluster_domain(conf) == "corp.test"
    conf.write_text("search example.org\n")
    assert cluster_domain(conf) == "cluster.local"
