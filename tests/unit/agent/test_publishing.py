"""When there is an ingress sync, and what the settings make of it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.agent.cluster.leadership import Alone
from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.sync import SyncSettings
from pipeops.agent.ingress_settings import ServiceName
from pipeops.agent.observed.agent import Observed
from pipeops.agent.publishing import ingress_services, sync_settings
from pipeops.agent.services.access import PublishedServices
from pipeops.agent.settings import AgentSettings
from pipeops.agent.state.fields import AgentState, MemoryStore
from pipeops.agent.state.keeper import StateKeeper
from pipeops.runtime.secrets import Secret
from tests.support.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def settings(**more: Any) -> AgentSettings:
    return AgentSettings(token=Secret("t"), **more)


async def services(hosts: str, **more: Any) -> tuple[int, Observed]:
    keeper = StateKeeper(
        [MemoryStore(AgentState(gateway_hosts=hosts))], backoff=lambda: iter([1.0])
    )
    await keeper.load()
    observed = Observed(asyncio.get_running_loop().time, lambda: NOW)
    made = ingress_services(
        settings(**more),
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        keeper=keeper,
        leadership=Alone(),
        offer=PublishedServices(),
        observed=observed,
        clock=FakeClock(),
    )
    return len(made), observed


@pytest.mark.parametrize(
    ("enabled", "hosts", "expected"),
    [(False, "", 0), (True, "", 1), (False, "a.test", 1), (True, "a.test", 1)],
)
async def test_off_there_is_none_unless_something_is_to_be_withdrawn(
    enabled: bool, hosts: str, expected: int
) -> None:
    count, observed = await services(hosts, enable_ingress_sync=enabled)
    assert (count, observed.gateway.enabled) == (expected, enabled)


def test_it_is_off_and_detects_by_itself_unless_told_otherwise() -> None:
    assert sync_settings(settings()) == SyncSettings(enabled=False)


def test_every_setting_reaches_it() -> None:
    made = sync_settings(
        settings(
            enable_ingress_sync=True,
            route_refresh_interval=7200.0,
            route_scope="managed",
            route_target="controller",
            ingress_service=ServiceName("a", "b", 80),
            ingress_classes=("x",),
            hostless_routes=True,
            routing_mode="direct",
            public_endpoint="lb.test:443",
        )
    )
    assert made == SyncSettings(
        enabled=True,
        refresh=7200.0,
        publishing=Publishing(
            managed_only=True,
            classes=frozenset({"x"}),
            hostless=True,
            through_controller=True,
        ),
        ingress_service=ServiceName("a", "b", 80),
        routing_mode="direct",
        public_endpoint="lb.test:443",
    )
    assert sync_settings(settings(force_tunnel_mode=True)).routing_mode == "tunnel"
