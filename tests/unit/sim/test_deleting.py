import pytest

from pipeops.sim.deleting import deletion_answer
from pipeops.sim.errors import ApiError
from pipeops.sim.options import DeleteOptions
from tests.unit.sim.conftest import World, config_map, pod


def test_a_simple_object_goes_at_once_and_a_status_tells(world: World) -> None:
    made = world.put(config_map("a"))
    resource = world.resource("v1", "ConfigMap")
    deletion = world.cluster.deleter.delete(resource, made)
    assert deletion.gone
    answer = deletion_answer(resource, deletion)
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}


def test_a_running_pod_gets_its_grace_period(world: World) -> None:
    made = world.put(pod("p"))
    world.run(1)
    running = world.get("", "pods", "default", "p")
    assert running is not None
    resource = world.resource("v1", "Pod")
    deletion = world.cluster.deleter.delete(resource, running, DeleteOptions(grace=7))
    assert not deletion.gone
    assert deletion.object["metadata"]["deletionGracePeriodSeconds"] == 7
    again = world.cluster.deleter.delete(resource, deletion.object, DeleteOptions(grace=20))
    assert again.object["metadata"]["deletionGracePeriodSeconds"] == 7
    assert made["metadata"]["uid"] == again.object["metadata"]["uid"]


def test_a_pod_without_a_node_goes_at_once(world: World) -> None:
    made = world.put(pod("p", schedulerName="nobody"))
    assert world.cluster.deleter.delete(world.resource("v1", "Pod"), made).gone


@pytest.mark.parametrize("options", [DeleteOptions(uid="other"), DeleteOptions(version="1")])
def test_a_precondition_that_does_not_hold_is_a_conflict(
    world: World, options: DeleteOptions
) -> None:
    made = world.put(config_map("a"))
    with pytest.raises(ApiError, match="Precondition failed") as caught:
        world.cluster.deleter.delete(world.resource("v1", "ConfigMap"), made, options)
    assert caught.value.code == 409


def test_dry_run_deletes_nothing(world: World) -> None:
    made = world.put(config_map("a"))
    options = DeleteOptions(dry_run=True)
    assert world.cluster.deleter.delete(world.resource("v1", "ConfigMap"), made, options).gone
    assert world.get("", "configmaps", "default", "a") is not None


def test_kinds_that_answer_with_the_object_do_so(world: World) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    made = world.put(account)
    resource = world.resource("v1", "ServiceAccount")
    deletion = world.cluster.deleter.delete(resource, made)
    assert deletion_answer(resource, deletion)["kind"] == "ServiceAccount"
