"""Health is what the checks say: nothing is healthy by constant."""

from pipeops.agent.observed.agent import DOWN_LIMIT
from pipeops.protocol.exchange.status import Hop
from tests.unit.agent.local_api.bench import World
from tests.unit.agent.observed.test_tunnel import Lane


def healthy() -> World:
    world = World()
    world.connect()
    world.observed.tunnel.opened(Lane(0))
    world.observed.heartbeats.was_sent()
    world.observed.requests.answered(200, world.now - 0.01)
    return world


def test_everything_right_is_healthy() -> None:
    world = healthy()
    assert world.observed.health == "healthy"
    assert world.observed.operational
    assert all(check.ok for check in world.observed.checks().values())


def test_not_registered_is_unhealthy() -> None:
    assert World().observed.health == "unhealthy"


def test_a_loss_is_degraded_and_in_time_unhealthy() -> None:
    world = healthy()
    world.lose("gone")
    assert world.observed.health == "degraded"
    assert world.observed.checks()["control_plane"].reason == "gone"
    world.now += DOWN_LIMIT + 1
    assert world.observed.health == "unhealthy"


def test_an_api_server_that_cannot_be_reached_is_degraded() -> None:
    world = healthy()
    world.now += 1
    world.observed.requests.failed("r", 502, Hop.KUBE_API, "refused")
    assert world.observed.health == "degraded"
    assert world.observed.checks()["kubernetes_api"].reason == "refused"


def test_a_failed_heartbeat_is_degraded() -> None:
    world = healthy()
    world.observed.heartbeats.could_not_send("no figures")
    assert world.observed.health == "degraded"


def test_heartbeats_that_are_not_sent_any_more_are_missed() -> None:
    world = healthy()
    world.now += 11
    assert world.observed.checks()["heartbeat"].reason == "none was sent for 11 s"


def test_without_a_tunnel_wanted_none_is_missed() -> None:
    world = World(tunnel_enabled=False)
    assert "tunnel" not in world.observed.checks()


def test_features_are_asked_when_shown() -> None:
    world = World()
    on = False
    world.observed.features["x"] = lambda: on
    assert world.observed.feature_states() == {"x": False}
    on = True
    assert world.observed.feature_states() == {"x": True}
