import msgspec
from msgspec import UNSET

from pipeops.agent.cluster.distribution import Origin
from pipeops.agent.cluster.figures import (
    MAX_KINDS,
    merged,
    node_figures,
    percent,
    pod_figures,
    with_stale,
)
from pipeops.agent.cluster.objects import Meta, Node, NodeMeta, Pod
from pipeops.agent.cluster.shapes import NodeShape, PodShape, Sums
from pipeops.agent.cluster.tally import Tally
from pipeops.protocol.messages.heartbeat import Amounts, ClusterFigures


def nodes(*shapes: NodeShape) -> ClusterFigures:
    left = list(shapes)
    tally: Tally[Node, NodeShape] = Tally(lambda _: left.pop(0))
    tally.begin()
    tally.page([Node(NodeMeta(uid=f"node {number}")) for number in range(len(shapes))])
    tally.finish()
    return node_figures(tally)


def node(version: str = "v1.33.1", *, ready: bool = True, provider: str = "aws") -> NodeShape:
    return NodeShape(
        ready=ready,
        schedulable=ready,
        capacity=Sums(4000, 100, 10),
        allocatable=Sums(3000, 90, 10),
        kubelet=version,
        runtime="containerd://2",
        platform="linux/amd64",
        origin=Origin("eks", provider),
    )


def test_nodes_add_up() -> None:
    figures = nodes(node(), node(), node("v1.32.9", ready=False, provider="hetzner"))
    assert (figures.nodes, figures.nodes_ready, figures.nodes_unschedulable) == (3, 2, 1)
    assert figures.capacity == Amounts(cpu_milli=12_000, memory_bytes=300, pods=30)
    assert figures.allocatable == Amounts(cpu_milli=9000, memory_bytes=270, pods=30)
    assert figures.kubelets == {"v1.32.9": 1, "v1.33.1": 2}
    assert (figures.distribution, figures.provider) == ("eks", "aws")


def test_versions_are_bounded() -> None:
    figures = nodes(*(node(f"v1.{number}") for number in range(40)))
    assert isinstance(figures.kubelets, dict)
    assert len(figures.kubelets) == MAX_KINDS


def test_a_cluster_without_nodes() -> None:
    figures = nodes()
    assert figures.nodes == 0
    assert figures.distribution is UNSET


def test_pods_add_up() -> None:
    shapes = [PodShape("Running", 100, 7), PodShape("Running", 100, 7), PodShape("Failed", 0, 0)]
    tally: Tally[Pod, PodShape] = Tally(lambda _: shapes.pop(0))
    tally.begin()
    tally.page([Pod(Meta(uid=f"pod {number}")) for number in range(3)])
    tally.finish()
    figures = pod_figures(tally)
    assert (figures.pods, figures.phases) == (3, {"Failed": 1, "Running": 2})
    assert figures.requested == Amounts(cpu_milli=200, memory_bytes=14)


def test_what_is_not_known_is_not_sent() -> None:
    figures = with_stale(merged([ClusterFigures(nodes=3), ClusterFigures(pods=2)]), [])
    assert msgspec.json.encode(figures) == b'{"nodes":3,"pods":2}'
    assert with_stale(figures, ["pods"]).stale == ["pods"]


def test_shares() -> None:
    assert [percent(1, 3), percent(5, 0), percent(0, 9)] == ["33%", "0%", "0%"]
