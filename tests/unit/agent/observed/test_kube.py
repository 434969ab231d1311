"""The agent's own calls tell whether the API server can be reached."""

import pytest

from pipeops.agent.observed.kube import ObservedKubeClient
from pipeops.kube.client import KubeClient
from pipeops.kube.errors import Forbidden, KubeConfigError, KubeUnreachable
from tests.unit.agent.local_api.bench import World


def client(
    monkeypatch: pytest.MonkeyPatch, outcome: Exception | None
) -> tuple[World, ObservedKubeClient]:
    async def request(self: KubeClient, method: str, path: str, body: bytes | None = None) -> bytes:
        if outcome is not None:
            raise outcome
        return b"{}"

    monkeypatch.setattr(KubeClient, "request", request)
    world = World()
    return world, ObservedKubeClient(world.observed.requests, None, timeout=1.0)  # type: ignore[arg-type]


async def test_an_answer_is_contact(monkeypatch: pytest.MonkeyPatch) -> None:
    world, kube = client(monkeypatch, None)
    assert await kube.request("GET", "/version") == b"{}"
    assert world.observed.requests.api_reachable


async def test_a_refusal_is_contact_too(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = Forbidden(403, "Forbidden", "no", retry_after=None)
    world, kube = client(monkeypatch, refusal)
    with pytest.raises(Forbidden):
        await kube.request("GET", "/version")
    assert world.observed.requests.api_reachable
    assert world.observed.requests.answers[3] == 1


async def test_no_connection_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    world, kube = client(monkeypatch, KubeUnreachable("no route"))
    with pytest.raises(KubeUnreachable):
        await kube.request("GET", "/version")
    assert world.observed.requests.failure_text == "no route"
    assert world.observed.requests.api_reachable is False


async def test_wrong_settings_say_nothing_about_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    world, kube = client(monkeypatch, KubeConfigError("no CA"))
    with pytest.raises(KubeConfigError):
        await kube.request("GET", "/version")
    assert world.observed.requests.api_reachable is None
