import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.scaling import read_scale, scaled, write_scale
from tests.unit.sim.conftest import World, workload


def test_a_scale_shows_replicas_and_the_selector_as_text(world: World) -> None:
    made = world.put(workload("Deployment", "web", 3))
    resource = world.resource("apps/v1", "Deployment")
    found = read_scale(resource, made)
    assert (found["kind"], found["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert found["spec"] == {"replicas": 3}
    assert found["status"] == {"replicas": 0, "selector": "app=web"}
    assert found["metadata"]["uid"] == made["metadata"]["uid"]


def test_only_kinds_with_the_subresource_are_scaled(world: World) -> None:
    assert scaled(world.resource("apps/v1", "StatefulSet"))
    assert not scaled(world.resource("v1", "ConfigMap"))


@pytest.mark.parametrize(
    ("scale", "code"),
    [
        ({"spec": {"replicas": -1}}, 422),
        ({"spec": {"replicas": "two"}}, 400),
        ({"kind": "Pod"}, 400),
        ([], 400),
        ({"metadata": {"resourceVersion": "1"}}, 409),
    ],
)
def test_wrong_scales_are_refused(world: World, scale: object, code: int) -> None:
    made = world.put(workload("Deployment", "web", 3))
    with pytest.raises(ApiError) as caught:
        write_scale(world.resource("apps/v1", "Deployment"), made, scale)
    assert caught.value.code == code


def test_no_replicas_means_none(world: World) -> None:
    made = world.put(workload("Deployment", "web", 3))
    assert write_scale(world.resource("apps/v1", "Deployment"), made, {"spec": {}}) == 0
