"""What the agent tells about itself: only what it must, and never a request for a heartbeat."""

from typing import Any

import pytest
from msgspec import UNSET

from pipeops import __version__
from pipeops.agent.connection import Identity
from pipeops.agent.facts import ClusterFacts
from pipeops.kube.client import Version
from pipeops.kube.errors import KubeError
from pipeops.runtime.secrets import Secret
from tests.support.clock import FakeClock


class FakeClient:
    """An API server that tells its version, or does not."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    async def version(self) -> Version:
        self.asked += 1
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


async def test_a_heartbeat_asks_nobody() -> None:
    made, client = facts()
    await made.register_payload(native=True, send_token=False)
    asked = client.asked
    assert made.heartbeat_metadata(native=True).k8s_version == "v1.36.1"
    assert client.asked == asked
