from tests.unit.sim.conftest import World


def test_a_fresh_cluster_comes_to_rest_with_its_system_pods_running(world: World) -> None:
    world.run(3)
    pods = world.all("", "pods", "kube-system")
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    names = {pod["metadata"]["name"].rpartition("-")[0] for pod in pods}
    assert "kube-proxy" in names
    version = world.cluster.store.version
    world.run(2)
    assert world.cluster.store.version == version
