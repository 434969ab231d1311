"""What is counted for a route: requests of each client address, within bounds."""

from structlog.testing import capture_logs

from pipeops.control.public import route_state as module
from pipeops.control.public.route_state import RouteStates
from pipeops.control.public_settings import PublicSettings, RouteCeilings, RouteDefaults
from tests.support.public_gateway import route


def test_a_route_keeps_its_state_until_it_changes() -> None:
    states = RouteStates(PublicSettings())
    one = route("a.example.com")
    assert states.of(one) is states.of(one)
    assert states.of(route("a.example.com", service="new")).target == b"new.apps:80"
    assert len(states) == 1


def test_what_was_counted_stays_while_cluster_host_and_path_do() -> None:
    states = RouteStates(PublicSettings(routes=RouteDefaults(rate=1.0, burst=2)))
    before = states.of(route("a.example.com"))
    before.counters.requests = before.counters.active = 7
    assert before.admit("1.1.1.1", 0.0) == 0.0
    changed = route("a.example.com", service="new", annotations={"rate-limit-burst": "1"})
    after = states.of(changed)
    assert (after.counters.requests, after.limits.burst) == (7, 1)
    before.counters.active -= 1  # a request that began before the change ends after it
    assert after.counters.active == 6
    assert after.admit("1.1.1.1", 0.0) == 0.0
    assert after.admit("1.1.1.1", 0.0) > 0, "a change gives no client a new burst"
    other = route("a.example.com", cluster="other")
    assert states.counters(other) is None
    assert states.of(other).counters.requests == 0
    assert states.counters(changed) is None


def test_a_client_address_has_a_burst_and_then_a_rate() -> None:
    state = RouteStates(PublicSettings(routes=RouteDefaults(rate=2.0, burst=3))).of(
        route("a.example.com")
    )
    assert [state.admit("1.1.1.1", 0.0) for _ in range(3)] == [0.0] * 3
    assert state.admit("1.1.1.1", 0.0) == 0.5
    assert state.admit("2.2.2.2", 0.0) == 0.0, "another address has its own"
    assert state.admit("1.1.1.1", 0.5) == 0.0
    assert state.admit("1.1.1.1", 0.5) > 0


def test_without_a_rate_nothing_is_counted() -> None:
    state = RouteStates(PublicSettings()).of(route("a.example.com"))
    assert not any(state.admit("1.1.1.1", 0.0) for _ in range(1000))


def test_routes_are_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "MAX_ROUTES", 5)
    states = RouteStates(PublicSettings(routes=RouteDefaults(rate=1.0, burst=1)))
    for number in range(50):
        states.of(route(f"h{number}.example.com"))
    assert len(states) == 5


def test_a_route_that_is_asked_for_keeps_what_was_counted_while_others_go(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "MAX_ROUTES", 2)
    states = RouteStates(PublicSettings(routes=RouteDefaults(rate=1.0, burst=1)))
    busy, idle = route("a.example.com"), route("b.example.com")
    assert states.of(busy).admit("1.1.1.1", 0.0) == 0
    states.of(idle)
    states.of(busy)
    states.of(route("c.example.com"))
    assert states.counters(idle) is None
    assert states.of(busy).admit("1.1.1.1", 0.0) > 0


def test_a_route_with_requests_under_way_keeps_its_counters_before_others(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "MAX_ROUTES", 3)
    states = RouteStates(PublicSettings())
    busy = route("busy.example.com")
    states.of(busy).counters.active = 1
    for number in range(50):
        states.of(route(f"h{number}.example.com"))
    assert states.of(busy).counters.active == 1, "whoever asks for many routes lifts no limit"
    for number in range(50):
        states.of(route(f"b{number}.example.com")).counters.active = 1
    assert len(states) == 3


def test_only_direct_routes_are_redirected_to_their_load_balancer() -> None:
    plain = RouteStates(PublicSettings())
    redirecting = RouteStates(PublicSettings(direct_redirect=True))
    assert not redirecting.of(route("a.example.com")).redirects
    direct = route("b.example.com", endpoint="203.0.113.1:443")
    assert redirecting.of(direct).redirects
    assert not plain.of(direct).redirects
    said = route("c.example.com", endpoint="203.0.113.1:443", annotations={"direct": "proxy"})
    assert not redirecting.of(said).redirects


def test_annotations_that_do_not_count_as_written_are_said() -> None:
    states = RouteStates(PublicSettings(ceilings=RouteCeilings(response_timeout=10)))
    greedy = route("a.example.com", annotations={"response-timeout": "1h"})
    with capture_logs() as records:
        assert states.of(greedy).limits.response_timeout == 10
    assert [record["route"] for record in records] == ["a.example.com/"]
    assert states.warnings(greedy) == (records[0]["warning"],)
    assert states.warnings(route("b.example.com")) == ()
