from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.kinds import GroupResource
from pipeops.sim.seed import seed
from tests.unit.sim.conftest import HandClock, World


def test_the_demo_comes_up(clock: HandClock) -> None:
    cluster = SimulatedCluster(clock=clock, signing_key=b"k" * 32)
    seed(cluster)
    world = World(clock, cluster)
    world.run(3)
    pods = world.all("", "pods", "demo")
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert len(pods) == 4


def test_an_empty_cluster_has_its_system_and_the_agents_installation(
    cluster: SimulatedCluster,
) -> None:
    spaces = cluster.store.objects(GroupResource("", "namespaces"))
    names = {space["metadata"]["name"] for space in spaces}
    assert names == {"default", "kube-node-lease", "kube-public", "kube-system", "pipeops-system"}
    account = GroupResource("", "serviceaccounts")
    assert cluster.store.get(account, "pipeops-system", "pipeops-agent") is not None
