import pytest

from pipeops.sim.applying import apply_configuration
from pipeops.sim.errors import ApiError
from pipeops.sim.managed import Actor
from pipeops.sim.objects import JsonObject
from pipeops.sim.schema.model import definitions

DEPLOYMENT = definitions()["apps.v1.Deployment"]
NOW = 1_767_225_600.0


def deployment(*containers: JsonObject, **spec: object) -> JsonObject:
    return {
        "metadata": {"name": "d"},
        "spec": {**spec, "template": {"spec": {"containers": list(containers)}}},
    }


def apply(
    live: JsonObject | None, config: JsonObject, manager: str = "one", *, force: bool = False
) -> JsonObject:
    actor = Actor(manager, "apps/v1")
    return apply_configuration(live, config, DEPLOYMENT, actor, force=force, now=NOW)


def containers(obj: JsonObject) -> list[JsonObject]:
    found: list[JsonObject] = obj["spec"]["template"]["spec"]["containers"]
    return found


def test_items_of_different_managers_live_side_by_side() -> None:
    live = apply(None, deployment({"name": "a", "image": "a:1"}))
    live = apply(live, deployment({"name": "b", "image": "b:1"}), "two")
    assert {item["name"] for item in containers(live)} == {"a", "b"}


def test_what_a_configuration_no_longer_names_goes() -> None:
    live = apply(None, deployment({"name": "a"}, {"name": "b", "image": "b:1"}, replicas=2))
    live = apply(live, deployment({"name": "a"}))
    assert [item["name"] for item in containers(live)] == ["a"]
    assert "replicas" not in live["spec"]


def test_what_somebody_else_also_manages_stays() -> None:
    live = apply(None, deployment({"name": "a"}, replicas=2))
    live = apply(live, deployment({"name": "a"}, replicas=2), "two")
    live = apply(live, deployment({"name": "a"}))
    assert live["spec"]["replicas"] == 2


def test_a_changed_value_of_another_manager_conflicts_unless_forced() -> None:
    live = apply(None, deployment({"name": "a", "image": "a:1"}))
    wanted = deployment({"name": "a", "image": "a:2"})
    with pytest.raises(ApiError, match=r'containers\[name="a"\]\.image'):
        apply(live, wanted, "two")
    live = apply(live, wanted, "two", force=True)
    assert containers(live)[0]["image"] == "a:2"


def test_items_come_in_the_configurations_order() -> None:
    live = apply(None, deployment({"name": "a"}, {"name": "b"}))
    live = apply(live, deployment({"name": "b"}, {"name": "a"}))
    assert [item["name"] for item in containers(live)] == ["b", "a"]
