from tests.unit.sim.conftest import World, config_map, workload


def create(world: World, name: str) -> dict:
    made = world.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    world.controllers.settle()
    return made


def test_every_namespace_begins_with_an_account_and_the_ca(world: World) -> None:
    create(world, "n")
    assert world.get("", "serviceaccounts", "n", "default") is not None
    bundle = world.get("", "configmaps", "n", "kube-root-ca.crt")
    assert bundle is not None
    assert bundle["data"] == {"ca.crt": "the CA"}


def test_what_must_be_there_comes_back(world: World) -> None:
    create(world, "n")
    bundle = world.get("", "configmaps", "n", "kube-root-ca.crt")
    assert bundle is not None
    world.cluster.deleter.delete(world.resource("v1", "ConfigMap"), bundle)
    world.controllers.settle()
    assert world.get("", "configmaps", "n", "kube-root-ca.crt") is not None


def test_a_namespace_ends_with_everything_in_it(world: World) -> None:
    space = create(world, "n")
    world.put(workload("Deployment", "web", 2), "n")
    world.put(config_map("a"), "n")
    world.run(1)
    deletion = world.cluster.deleter.delete(world.resource("v1", "Namespace"), space)
    assert not deletion.gone
    assert deletion.object["status"]["phase"] == "Terminating"
    world.run(2)
    assert world.get("", "namespaces", "", "n") is None
    for place in world.cluster.store.places():
        assert world.cluster.store.objects(place, "n") == []
