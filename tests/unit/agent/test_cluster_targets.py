"""The parts share one resolver."""

from types import SimpleNamespace

import pytest

from pipeops.agent.cluster_targets import ClusterTargets
from pipeops.agent.forward_settings import ConfiguredForward
from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.targets import ServiceTarget, TargetRefused
from pipeops.runtime.tasks import TaskScope


def build(*forwards: ConfiguredForward, policy: PolicyGuard | None = None) -> ClusterTargets:
    return ClusterTargets.build(
        SimpleNamespace(host="10.0.0.1", port=443),  # type: ignore[arg-type]
        TaskScope("test"),
        now=lambda: 0.0,
        limits=PoolLimits(),
        agent_port=lambda: 8080,
        policy=policy,
        forwards=forwards,
        inactivity=60.0,
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
        (ServiceTarget("dns", "kube-system", 53), "not reachable"),
    ):
        with pytest.raises(TargetRefused, match=words):
            await made.resolver.resolve(target)
    with pytest.raises(TargetRefused, match="raw stream"):
        await made.forwards.resolve("api")
    made.resolver.rule.check(ServiceTarget("web", "a", 80))
