"""What the agent tells about itself: only what it must, and never a request for a heartbeat."""

import asyncio
from typing import Any

import pytest
from msgspec import UNSET

from pipeops import __version__
from pipeops.agent.facts import ClusterFacts
from pipeops.agent.introduction import Identity
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.kube.client import Version
from pipeops.kube.errors import KubeError
from pipeops.protocol.messages.heartbeat import Amounts, ClusterFigures, HeartbeatMetadata
from pipeops.protocol.messages.registration import RegisterSuccess
from pipeops.runtime.secrets import Secret
from tests.support.clock import FakeClock


class FakeClient:
    """An API server that tells its version, or does not."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.silent = False
        self.asked = 0

    async def version(self) -> Version:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return Version(git_version="v1.36.1")


def facts(token: Secret[str] | None = None, **options: Any) -> tuple[ClusterFacts, FakeClient]:
    client = FakeClient()
    made = ClusterFacts(
        client,  # type: ignore[arg-type]
        Identity(agent_id="a", instance="i", epoch=7),
        FakeClock(),
        cluster_name="prod",
        service_account_token=token,
        **options,
    )
    return made, client


async def test_the_registration_names_cluster_agent_and_versions() -> None:
    made, _ = facts(labels={"team": "x"})
    register = await made.register_payload(native=True, send_token=False)
    assert (register.agent_id, register.name, register.k8s_version) == ("a", "prod", "v1.36.1")
    assert register.agent_version == __version__
    assert register.labels is not None
    assert register.labels["team"] == "x"
    assert register.metadata is not None
    assert register.metadata["registration_timestamp"] == "2026-01-01T00:00:00Z"
    assert (register.x_instance, register.x_epoch) == ("i", 7)
    assert register.features.x_native is True


async def test_our_own_fields_stay_away_from_other_control_planes() -> None:
    made, _ = facts()
    register = await made.register_payload(native=False, send_token=False)
    assert register.x_instance is register.x_epoch is register.features.x_native is UNSET


@pytest.mark.parametrize(
    ("token", "send", "sent"),
    [
        (Secret("t"), True, "t"),
        (Secret("t"), False, UNSET),
        (None, True, UNSET),
    ],
)
async def test_the_service_account_token_goes_only_where_it_is_needed_and_allowed(
    token: Secret[str] | None, send: bool, sent: Any
) -> None:
    """threats.md S-26."""
    made, _ = facts(token)
    register = await made.register_payload(native=False, send_token=send)
    assert register.k8s_service_token == sent


async def test_an_unreachable_api_server_does_not_keep_the_agent_from_registering() -> None:
    made, client = facts()
    client.error = KubeError("down")
    register = await made.register_payload(native=True, send_token=False)
    assert register.k8s_version == ""
    assert made.heartbeat_metadata(native=True).k8s_version is UNSET


async def test_a_silent_api_server_does_not_keep_the_agent_from_registering(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeops.agent.facts.VERSION_TIMEOUT", 0.0)
    made, client = facts()
    client.silent = True
    register = await made.register_payload(native=True, send_token=False)
    assert register.k8s_version == ""


async def test_a_heartbeat_asks_nobody() -> None:
    made, client = facts()
    await made.register_payload(native=True, send_token=False)
    asked = client.asked
    assert made.heartbeat_metadata(native=True).k8s_version == "v1.36.1"
    assert client.asked == asked


class FakeObserver:
    """Knows what the test says."""

    kubernetes_version = "v1.37.0"
    metrics_available: bool | None = True
    figures: ClusterFigures | None = ClusterFigures(
        nodes=3,
        pods=40,
        allocatable=Amounts(cpu_milli=1000, memory_bytes=200),
        used=Amounts(cpu_milli=250, memory_bytes=100),
    )


async def test_a_heartbeat_carries_the_observers_figures() -> None:
    observer = FakeObserver()
    made, _ = facts(observer=observer)
    await made.register_payload(native=True, send_token=False)
    told = made.heartbeat_metadata(native=True)
    assert (told.k8s_nodes, told.k8s_pods, told.k8s_version) == (3, 40, "v1.37.0")
    assert (told.cpu_usage, told.memory_usage) == ("25%", "50%")
    assert told.metrics_available is True
    assert told.metrics_stale is UNSET
    assert told.x_cluster == observer.figures
    assert made.heartbeat_metadata(native=False).x_cluster is UNSET


async def test_gaps_are_left_out_and_old_figures_are_marked() -> None:
    observer = FakeObserver()
    observer.figures = ClusterFigures(nodes=3, stale=["nodes"])
    observer.metrics_available = None
    made, _ = facts(observer=observer)
    told = made.heartbeat_metadata(native=True)
    assert (told.k8s_nodes, told.k8s_pods) == (3, UNSET)
    assert (told.cpu_usage, told.metrics_available, told.metrics_stale) == ("0%", UNSET, True)


async def test_a_replica_that_does_not_report_sends_versions_only() -> None:
    observer = FakeObserver()
    observer.figures = None
    made, _ = facts(observer=observer)
    told = made.heartbeat_metadata(native=True)
    assert told == HeartbeatMetadata(agent_version=__version__, k8s_version="v1.37.0")


async def test_a_registration_is_remembered_and_resumed_until_it_is_refused() -> None:
    kept: list[dict[str, str]] = []
    made, _ = facts(stored_cluster_id="c-old", remember=lambda **changes: kept.append(changes))
    register = await made.register_payload(native=True, send_token=False)
    assert register.cluster_id == "c-old"
    assert register.metadata is not None
    assert register.metadata["registration_mode"] == "resume"
    made.registered(RegisterSuccess(cluster_id="c-new"))
    made.registered(RegisterSuccess(cluster_id="c-new", gateway_ws_url="wss://g"))
    assert kept == [{"cluster_id": "c-new"}, {"cluster_id": "c-new", "gateway_ws_url": "wss://g"}]
    made.forget_registration()
    register = await made.register_payload(native=True, send_token=False)
    assert register.cluster_id is UNSET
    assert register.metadata is not None
    assert register.metadata["registration_mode"] == "fresh"


async def test_published_routes_are_counted_while_this_replica_publishes() -> None:
    routes = RoutesObserved()
    about, _ = facts(routes=routes)
    assert about.heartbeat_metadata(native=True).gateway_routes is UNSET
    routes.active, routes.private = True, None
    routes.counts = lambda: {"registered": 3, "refused": 1, "pending": 2}
    beat = about.heartbeat_metadata(native=False)
    assert (beat.gateway_routes, beat.is_private) == (3, UNSET)
    routes.private = False
    assert about.heartbeat_metadata(native=False).is_private is False
