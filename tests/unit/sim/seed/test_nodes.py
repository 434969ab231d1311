from pipeops.sim.seed.nodes import NODES, node_address, nodes
from tests.unit.sim.conftest import START


def test_one_control_plane_keeps_pods_away_and_all_are_ready() -> None:
    made = list(nodes(START))
    assert [node["metadata"]["name"] for node in made] == list(NODES)
    assert [bool(node["spec"].get("taints")) for node in made] == [True, False, False]
    for node in made:
        ready = [c for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready[0]["status"] == "True"


def test_addresses_differ() -> None:
    assert len({node_address(index) for index in range(len(NODES))}) == len(NODES)
