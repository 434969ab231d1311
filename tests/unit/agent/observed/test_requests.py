"""The last contact decides whether the API server is reachable; thousands of failures are one event."""

import pytest

from pipeops.agent.observed.requests import EVENT_PAUSE
from pipeops.protocol.exchange.status import Hop
from tests.unit.agent.local_api.bench import World


def test_the_last_contact_decides() -> None:
    world = World()
    requests = world.observed.requests
    assert requests.api_reachable is None
    requests.answered(200, world.now - 0.01)
    assert requests.api_reachable
    world.now += 1
    requests.failed("r1", 502, Hop.KUBE_API, "connection refused")
    assert requests.api_reachable is False
    assert requests.failure_text == "connection refused"
    world.now += 1
    requests.answered(403, world.now - 0.02)
    assert requests.api_reachable
    assert (requests.answers, requests.last_latency) == ([0, 1, 0, 1, 0], pytest.approx(0.02))
    assert requests.latency.count == 2


def test_never_reached_is_not_reachable() -> None:
    world = World()
    world.observed.requests.api_unreachable("no route")
    assert world.observed.requests.api_reachable is False


def test_failures_of_other_hops_say_nothing_about_the_api_server() -> None:
    world = World()
    world.observed.requests.failed("r1", 403, Hop.AGENT, "refused")
    assert world.observed.requests.api_reachable is None
    assert world.observed.requests.failures[Hop.AGENT] == 1


def test_many_failures_make_few_events_that_count_the_others() -> None:
    world = World()
    for _ in range(100):
        world.observed.requests.failed("r", 502, Hop.KUBE_API, "down")
    world.now += EVENT_PAUSE
    world.observed.requests.failed("r", 502, Hop.KUBE_API, "down")
    events = [event.data["others"] for event in world.observed.events.recent()]
    assert events == [0, 99]


def test_odd_statuses_are_counted_somewhere() -> None:
    world = World()
    world.observed.requests.answered(999, world.now - 0.0)
    assert world.observed.requests.answers == [0, 0, 0, 0, 1]
