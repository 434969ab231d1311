"""The connection as publishing sees it."""

import asyncio
from datetime import UTC, datetime

from pipeops.agent.ingress.link import ControlPlaneLink
from pipeops.agent.observed.connection import ConnectionObserved, Registration
from pipeops.agent.observed.events import EventBus
from tests.support.turns import turns

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def connection() -> ConnectionObserved:
    return ConnectionObserved(lambda: 0.0, lambda: NOW, EventBus(lambda: NOW))


def register(observed: ConnectionObserved, cluster: str = "c-1", uuid: str = "") -> None:
    observed.up(Registration(cluster_id=cluster, cluster_uuid=uuid))


async def test_it_is_up_once_registered_and_again_after_a_loss() -> None:
    observed = connection()
    link = ControlPlaneLink(observed)
    waiting = asyncio.create_task(link.up())
    observed.trying()
    await turns()
    assert not waiting.done()
    register(observed)
    await waiting
    assert (link.cluster, link.generation) == ("c-1", 1)
    await link.up()
    observed.down("lost")
    again = asyncio.create_task(link.up())
    await turns()
    assert not again.done()
    register(observed, "c-1", "u-1")
    await again
    assert (link.cluster, link.generation) == ("u-1", 2)


async def test_a_registration_on_a_connection_that_stays_up_is_noticed() -> None:
    observed = connection()
    link = ControlPlaneLink(observed)
    register(observed)
    waiting = asyncio.create_task(link.renewed(link.generation, 30.0))
    await turns()
    assert not waiting.done()
    register(observed, "c-2")
    await waiting
    assert link.cluster == "c-2"


async def test_nobody_waits_longer_than_asked() -> None:
    link = ControlPlaneLink(connection())
    assert link.cluster == ""
    await link.renewed(0, 0.001)


async def test_a_connection_that_was_there_before_counts() -> None:
    observed = connection()
    register(observed)
    link = ControlPlaneLink(observed)
    await link.up()
    await link.renewed(0, 30.0)
