"""The connection's state, times and counts follow what happens, and say why it is down."""

from typing import Any

from pipeops.agent.observed.connection import KEPT_ERRORS, ConnectionState, Registration
from tests.unit.agent.local_api.bench import World


def kinds(world: World) -> list[tuple[str, Any]]:
    return [(e.kind, e.data.get("new", e.data.get("ok"))) for e in world.observed.events.recent()]


def test_from_the_start_to_registered() -> None:
    world = World()
    connection = world.observed.connection
    assert (connection.state, connection.registered) == (ConnectionState.DISCONNECTED, False)
    connection.trying()
    world.now += 2
    assert (connection.state, connection.unhealthy_seconds) == (ConnectionState.CONNECTING, 2)
    connection.up(Registration(cluster_id="c1"))
    assert (connection.connected, connection.registered) == (True, True)
    assert (connection.unhealthy_seconds, connection.down_seconds) == (0, 2)
    assert connection.registration == Registration(cluster_id="c1")
    assert (connection.registration_attempts, connection.reconnects) == (1, 0)
    assert kinds(world) == [
        ("state_change", "connecting"), ("registration", True), ("state_change", "connected"),
    ]  # fmt: skip


def test_a_loss_says_why_and_since_when_until_it_is_back() -> None:
    world = World()
    world.connect()
    connection = world.observed.connection
    connection.down("no answer for 15 s")
    connection.waiting(4.0)
    world.now += 3
    assert (connection.state, connection.last_error) == (
        ConnectionState.RECONNECTING,
        "no answer for 15 s",
    )
    assert (connection.unhealthy_seconds, connection.failures) == (3, 1)
    assert connection.retry_at == world.now + 1
    connection.trying()
    assert (connection.reconnects, connection.retry_at) == (1, None)
    connection.registration_failed("refused")
    connection.down("refused")
    assert (connection.failures, connection.registration_failures) == (2, 1)
    assert connection.state_changes[ConnectionState.RECONNECTING] == 1, "it was so all the time"
    world.now += 1
    connection.trying()
    connection.up(Registration(cluster_id="c1"))
    assert (connection.failures, connection.down_since, connection.down_seconds) == (0, None, 4)


def test_registering_again_is_an_attempt_on_a_connection_that_is_up() -> None:
    world = World()
    world.connect()
    connection = world.observed.connection
    connection.registering_again()
    connection.up(Registration(cluster_id="c2"))
    assert (connection.registration_attempts, connection.reconnects) == (2, 0)
    assert connection.registration == Registration(cluster_id="c2")


def test_the_end_is_disconnected() -> None:
    world = World()
    world.connect()
    world.observed.connection.ended()
    world.observed.connection.ended()
    assert world.observed.connection.state is ConnectionState.DISCONNECTED
    assert kinds(world)[-1] == ("state_change", "disconnected")


def test_errors_are_kept_in_a_bounded_list_without_secrets() -> None:
    world = World()
    for number in range(KEPT_ERRORS + 5):
        world.lose(f"{number}: Bearer abcdefghijkl")
    errors = world.observed.connection.errors
    assert len(errors) == KEPT_ERRORS
    assert errors[-1].error == f"{KEPT_ERRORS + 4}: Bearer ***"
