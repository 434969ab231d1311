"""Fixtures: our agent between a scripted control plane and a scripted API server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.conformance.agent import RunningAgent, running_agent
from tests.conformance.control_plane import (
    ControlPlaneSocket,
    FakeControlPlane,
    fake_control_plane,
)
from tests.conformance.kube_api import FakeKubeApi, fake_kube_api


@dataclass
class Bench:
    """The agent under test and both of its neighbours; `socket` is its registered tunnel."""

    control: FakeControlPlane
    api: FakeKubeApi
    agent: RunningAgent
    socket: ControlPlaneSocket


@pytest.fixture(params=[True, False], ids=["yamux", "plain"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with _bench(multiplexed=request.param) as made:
        yield made


@pytest.fixture
async def plain() -> AsyncIterator[Bench]:
    """Without a multiplexed session."""
    async with _bench(multiplexed=False) as made:
        yield made


@pytest.fixture
async def multiplexed() -> AsyncIterator[Bench]:
    """With a multiplexed session."""
    async with _bench(multiplexed=True) as made:
        yield made


@asynccontextmanager
async def _bench(*, multiplexed: bool) -> AsyncIterator[Bench]:
    async with (
        fake_control_plane() as control,
        fake_kube_api() as api,
        running_agent(control.url, api.port) as agent,
    ):
        socket = await control.registered(multiplexed=multiplexed)
        yield Bench(control, api, agent, socket)
        socket.writer.close()
