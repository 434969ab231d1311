"""Probes tell the truth about the connection and cost nothing."""

import pytest

from pipeops.agent.local_api.status import NEVER, StatusPages, go_duration
from pipeops.agent.observed.agent import DOWN_LIMIT
from tests.unit.agent.local_api.bench import World, ask, body


def test_health_is_always_200_and_shows_the_connection() -> None:
    world = World()
    world.observed.connection.trying()
    answer = ask(StatusPages(world.observed).health)
    assert answer.status == 200
    shown = body(answer)
    assert (shown["status"], shown["connected"], shown["registered"]) == ("healthy", False, False)
    assert shown["connection_state"] == "connecting"
    assert list(shown) == sorted(shown)


@pytest.mark.parametrize("truthful", [False, True])
def test_not_ready_before_the_first_registration(truthful: bool) -> None:
    answer = ask(StatusPages(World(truthful=truthful).observed).ready)
    assert answer.status == 503
    assert body(answer)["reason"] == "not registered with the control plane yet"


@pytest.mark.parametrize(("truthful", "status"), [(False, 200), (True, 503)])
def test_a_short_loss_is_forgiven_unless_the_probe_is_truthful(truthful: bool, status: int) -> None:
    world = World(truthful=truthful)
    world.connect()
    world.lose()
    world.now += DOWN_LIMIT - 1
    assert ask(StatusPages(world.observed).ready).status == status


def test_a_long_loss_is_not_ready_and_says_why() -> None:
    world = World()
    world.connect()
    world.lose("the network is gone")
    world.now += DOWN_LIMIT + 1
    answer = ask(StatusPages(world.observed).ready)
    assert answer.status == 503
    shown = body(answer)
    assert (shown["consecutive_failures"], shown["connection_state"]) == (1, "reconnecting")
    assert "the network is gone" in shown["reason"]


def test_a_stopping_agent_is_not_ready() -> None:
    world = World()
    world.connect()
    world.observed.connection.stopping = True
    answer = ask(StatusPages(world.observed).ready)
    assert (answer.status, body(answer)["reason"]) == (503, "the agent is stopping")


def test_the_truthful_probe_shows_the_heartbeat() -> None:
    world = World(truthful=True)
    world.connect()
    pages = StatusPages(world.observed)
    assert body(ask(pages.ready))["last_heartbeat"] == NEVER
    world.observed.heartbeats.was_sent()
    world.now += 2
    shown = body(ask(pages.ready))
    assert shown["last_heartbeat"] == "2026-01-01T00:00:00Z"
    assert shown["time_since_heartbeat"] == "2s"


def test_the_version_says_what_runs_here() -> None:
    shown = body(ask(StatusPages(World().observed).show_version))
    assert shown["implementation"] == "python"
    assert shown["go_version"].startswith("python3.")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (0.25, "0.25s"), (59.9996, "1m0s"), (61.5, "1m1.5s"), (3723.456, "1h2m3.456s"), (-1, "0s")],
)  # fmt: skip
def test_durations_are_written_as_go_writes_them(seconds: float, words: str) -> None:
    assert go_duration(seconds) == words
