"""The parts share one resolver."""

from types import SimpleNamespace

import pytest

from pipeops.agent.cluster_targets import ClusterTargets, ServiceTerms, targets_of
from pipeops.agent.forward_settings import ConfiguredForward
from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.services.access import AllowedServices
from pipeops.agent.settings import AgentSettings
from pipeops.agent.targets import ServiceRule, ServiceTarget, TargetRefused
from pipeops.runtime.clock import Clock
from pipeops.runtime.settings import SettingsError
from pipeops.runtime.tasks import TaskScope


def build(
    *forwards: ConfiguredForward,
    policy: PolicyGuard | None = None,
    terms: ServiceTerms | None = None,
) -> ClusterTargets:
    return ClusterTargets.build(
        SimpleNamespace(host="10.0.0.1", port=443),  # type: ignore[arg-type]
        TaskScope("test"),
        now=lambda: 0.0,
        limits=PoolLimits(),
        agent_port=lambda: 8080,
        policy=policy,
        forwards=forwards,
        inactivity=60.0,
        terms=terms,
    )


async def test_one_rule_holds_for_everything() -> None:
    made = build(ConfiguredForward("api", "localhost:6443"))
    assert made.services.resolver is made.resolver
    assert (made.resolver.kube_api.host, made.resolver.kube_api.port) == ("10.0.0.1", 443)
    assert made.forwards.inactivity == 60.0
    assert (await made.forwards.resolve("api")) == made.resolver.kube_api


async def test_settings_that_cannot_be_are_errors_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"tunnel\.forwards"):
        build(ConfiguredForward("api", "localhost"))


async def test_the_clusters_policy_holds_for_every_kind_of_connection() -> None:
    guard = PolicyGuard(parse({"version": 1, "services": ["a/web:80"]}, "test"))
    made = build(ConfiguredForward("api", "localhost:6443"), policy=guard)
    for target, words in (
        (ServiceTarget("kubernetes", "default", 443), "raw stream"),
        (ServiceTarget("db", "a", 5432), "rule 'services'"),
        (ServiceTarget("dns", "kube-system", 53), "rule 'services'"),
    ):
        with pytest.raises(TargetRefused, match=words):
            await made.resolver.resolve(target)
    with pytest.raises(TargetRefused, match="raw stream"):
        await made.forwards.resolve("api")
    made.resolver.rule.check(ServiceTarget("web", "a", 80))


def permits(rule: ServiceRule, target: ServiceTarget) -> bool:
    try:
        rule.check(target)
    except TargetRefused:
        return False
    return True


@pytest.mark.parametrize(
    ("default", "pipeops", "native"),
    [("auto", True, False), ("deny", False, False), ("allow", True, True)],
)
async def test_what_nothing_offers_is_open_to_whom_the_operator_says(
    default: str, pipeops: bool, native: bool
) -> None:
    made = build(terms=ServiceTerms(default=default))
    target = ServiceTarget("web", "shop", 80)
    assert permits(made.resolver.rule, target) is pipeops
    assert permits(made.services.wire.rule, target) is native
    made.published.replace([target])
    assert permits(made.resolver.rule, target)
    assert permits(made.services.wire.rule, target)


async def test_the_kubernetes_api_is_for_raw_streams_only() -> None:
    target = ServiceTarget("kubernetes", "default", 443)
    made = build(terms=ServiceTerms(AllowedServices(("default/kubernetes:443",))))
    assert permits(made.resolver.rule, target)
    assert permits(made.native._resolver.rule, target)
    assert not permits(made.services.wire.rule, target)


def of_settings(settings: AgentSettings) -> ClusterTargets:
    access = SimpleNamespace(host="10.0.0.1", port=443, origin="in-cluster")
    return targets_of(
        settings, Clock(), access, TaskScope("test"), policy=None, client=None, limits=PoolLimits()  # type: ignore[arg-type]
    )  # fmt: skip


async def test_settings_say_which_services_there_are() -> None:
    made = of_settings(AgentSettings(services_allow=("shop/web:80",), services_default="deny"))
    assert permits(made.services.wire.rule, ServiceTarget("web", "shop", 80))
    assert not permits(made.resolver.rule, ServiceTarget("db", "shop", 80))


async def test_a_forward_that_cannot_be_is_an_error_of_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"tunnel\.forwards"):
        of_settings(AgentSettings(forwards=(ConfiguredForward("api", "localhost"),)))
