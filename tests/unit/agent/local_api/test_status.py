"""Probes tell the truth about the connection and cost nothing."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.agent.local_api.server import Answer
from pipeops.agent.local_api.status import DISCONNECTED_LIMIT, NEVER, StatusPages

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Connection:
    connected: bool = True
    registered: bool = True
    down_since: float | None = None
    stopping: bool = False
    last_heartbeat: float | None = 98.0
    failures: int = 0


def pages(connection: Connection, *, truthful: bool = False) -> StatusPages:
    return StatusPages(connection, lambda: 100.0, lambda: NOW, truthful=truthful)


def body(answer: Answer) -> dict[str, Any]:
    return json.loads(answer.body)


def test_health_is_always_200_and_shows_the_connection() -> None:
    answer = pages(Connection(connected=False, registered=False)).health()
    assert answer.status == 200
    shown = body(answer)
    assert (shown["status"], shown["connected"], shown["registered"]) == ("healthy", False, False)
    assert shown["connection_state"] == "connecting"
    assert list(shown) == sorted(shown)


@pytest.mark.parametrize("truthful", [False, True])
def test_not_ready_before_the_first_registration(truthful: bool) -> None:
    answer = pages(Connection(connected=False, registered=False), truthful=truthful).ready()
    assert answer.status == 503
    assert body(answer)["reason"] == "not registered with the control plane yet"


def test_a_short_loss_is_forgiven_unless_the_probe_is_truthful() -> None:
    lost = Connection(connected=False, down_since=100.0 - DISCONNECTED_LIMIT + 1)
    assert pages(lost).ready().status == 200
    assert pages(lost, truthful=True).ready().status == 503


def test_a_long_loss_is_not_ready() -> None:
    lost = Connection(connected=False, down_since=100.0 - DISCONNECTED_LIMIT - 1, failures=3)
    answer = pages(lost).ready()
    assert answer.status == 503
    assert body(answer)["consecutive_failures"] == 3
    assert body(answer)["connection_state"] == "reconnecting"


def test_the_truthful_probe_shows_the_heartbeat() -> None:
    shown = body(pages(Connection(), truthful=True).ready())
    assert shown["last_heartbeat"] == "2025-12-31T23:59:58Z"
    assert shown["time_since_heartbeat"] == "2.000s"
    assert (
        body(pages(Connection(last_heartbeat=None), truthful=True).ready())["last_heartbeat"]
        == NEVER
    )


def test_the_version_says_what_runs_here() -> None:
    shown = body(pages(Connection()).show_version())
    assert shown["implementation"] == "python"
    assert shown["go_version"].startswith("python3.")


def test_it_is_not_ready_while_it_stops() -> None:
    answer = pages(Connection(stopping=True)).ready()
    assert answer.status == 503
    assert body(answer)["reason"] == "the agent is stopping"
