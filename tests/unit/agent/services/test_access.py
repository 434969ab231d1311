"""Which Services may be reached: what the cluster offers, what the operator lists, never the Kubernetes API."""

from dataclasses import replace

from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.services.access import (
    AllowedServices,
    PublishedServices,
    ServiceAccess,
)
from pipeops.agent.targets import ServiceTarget, TargetRefused

WEB = ServiceTarget("web", "shop", 80)
DB = ServiceTarget("db", "shop", 5432)
TRAEFIK = ServiceTarget("traefik", "kube-system", 80)
DNS = ServiceTarget("kube-dns", "kube-system", 53)
API = ServiceTarget("kubernetes", "default", 443)


def access(
    *published: ServiceTarget, allow: tuple[str, ...] = (), policy: dict[str, object] | None = None
) -> ServiceAccess:
    offered = PublishedServices()
    offered.replace(published)
    guard = PolicyGuard(parse({"version": 1, **policy}, "test")) if policy is not None else None
    return ServiceAccess(offered, AllowedServices(allow), guard)


def permits(rule: ServiceAccess, target: ServiceTarget) -> bool:
    try:
        rule.check(target)
    except TargetRefused:
        return False
    return True


def test_nothing_may_be_reached_that_nothing_offers() -> None:
    rule = access()
    assert not any(permits(rule, target) for target in (WEB, DB, TRAEFIK, API))


def test_a_port_is_offered_and_not_its_neighbours() -> None:
    rule = access(WEB)
    assert permits(rule, WEB)
    assert not permits(rule, WEB._replace(port=81))
    assert not permits(rule, WEB._replace(namespace="other"))


def test_what_is_withdrawn_is_refused_at_once() -> None:
    rule = access(WEB)
    rule.published.replace([DB])
    assert (permits(rule, WEB), permits(rule, DB), len(rule.published)) == (False, True, 1)


def test_what_the_operator_lists_may_be_reached() -> None:
    rule = access(allow=("shop/*:80", "data/db-*:*"))
    assert permits(rule, WEB)
    assert permits(rule, ServiceTarget("db-1", "data", 9))
    assert not permits(rule, DB)


def test_a_star_never_means_a_system_namespace_but_its_name_does() -> None:
    assert not permits(access(allow=("*/*:*",)), DNS)
    assert permits(access(allow=("kube-system/kube-dns:*",)), DNS)
    assert permits(access(TRAEFIK), TRAEFIK)
    assert not permits(replace(access(), open=True), DNS)


def test_an_open_rule_has_everything_else() -> None:
    assert permits(replace(access(), open=True), WEB)


def test_the_kubernetes_api_is_no_service_whatever_is_listed() -> None:
    everything = access(API, allow=("default/kubernetes:443",))
    for rule in (everything, replace(everything, open=True)):
        assert not permits(rule, API)
        assert not permits(rule, API._replace(port=6443))


def test_raw_streams_may_have_it_where_it_is_listed() -> None:
    rule = replace(access(), kube_api=True)
    assert not permits(rule, API)
    assert permits(replace(rule, open=True), API)
    assert permits(replace(rule, allowed=AllowedServices(("default/kubernetes:443",))), API)


def test_the_clusters_policy_has_the_last_word_and_its_list_is_an_offer() -> None:
    rule = access(WEB, DB, allow=("*/*:*",), policy={"services": ["shop/web:80", "a/b:1"]})
    assert permits(rule, WEB)
    assert permits(rule, ServiceTarget("b", "a", 1))
    assert not permits(rule, DB)
    assert not permits(access(policy={}), WEB)
