from typing import Any

import msgspec
import pytest

from pipeops.agent.cluster.objects import Node, Pod
from pipeops.agent.cluster.shapes import PodShape, Sums, node_shape, pod_shape

MIB = 1 << 20


def pod(phase: str = "Running", **spec: Any) -> PodShape:
    body = {"metadata": {"uid": "u"}, "spec": {"nodeName": "n", **spec}, "status": {"phase": phase}}
    return pod_shape(msgspec.json.decode(msgspec.json.encode(body), type=Pod))


def container(cpu: str, memory: str = "0", **more: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory, "gpu": "1"}}, **more}


def test_containers_add_up() -> None:
    shape = pod(containers=[container("100m", "64Mi"), container("1", "1Gi"), {"name": "free"}])
    assert shape == PodShape("Running", 1100, 64 * MIB + 1024 * MIB)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_finished_pods_request_nothing(phase: str) -> None:
    assert pod(phase, containers=[container("1")]) == PodShape(phase, 0, 0)


def test_pods_without_a_node_request_nothing_of_the_cluster() -> None:
    assert pod("Pending", nodeName="", containers=[container("1")]) == PodShape("Pending", 0, 0)


def test_the_largest_start_up_step_counts_where_it_is_more() -> None:
    shape = pod(
        containers=[container("500m", "10Mi")],
        initContainers=[container("2", "5Mi"), container("1", "99Mi")],
    )
    assert shape == PodShape("Running", 2000, 99 * MIB)


def test_sidecars_run_beside_what_comes_after_them() -> None:
    shape = pod(
        containers=[container("1")],
        initContainers=[container("200m", restartPolicy="Always"), container("900m")],
    )
    assert shape.cpu == 1200
    before = pod(
        containers=[container("1")],
        initContainers=[container("1900m"), container("200m", restartPolicy="Always")],
    )
    assert before.cpu == 1900


def test_overhead_and_requests_of_the_whole_pod() -> None:
    assert pod(containers=[container("1")], overhead={"cpu": "250m"}).cpu == 1250
    whole = {"requests": {"cpu": "3"}}
    assert pod(containers=[container("1", "1Mi")], resources=whole) == PodShape(
        "Running", 3000, MIB
    )


def test_odd_pods_count_as_well_as_they_can() -> None:
    assert pod_shape(Pod()) == PodShape("Unknown", 0, 0)
    assert pod("Dreaming", containers=None) == PodShape("Unknown", 0, 0)
    assert pod(containers=[container("much", "1Mi")]) == PodShape("Running", 0, MIB)


def test_a_node() -> None:
    body = {
        "metadata": {"labels": None},
        "spec": {"unschedulable": True, "providerID": "aws:///eu/i-1"},
        "status": {
            "capacity": {"cpu": "8", "memory": "1Gi", "pods": "110", "hugepages-2Mi": "0"},
            "allocatable": {"cpu": "7900m", "memory": "900Mi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": None}],
            "nodeInfo": {"kubeletVersion": "v1.33.1", "operatingSystem": "linux", "architecture": "arm64"},
        },
    }  # fmt: skip
    shape = node_shape(msgspec.json.decode(msgspec.json.encode(body), type=Node))
    assert (shape.ready, shape.schedulable) == (True, False)
    assert shape.capacity == Sums(8000, 1024 * MIB, 110)
    assert shape.allocatable == Sums(7900, 900 * MIB, 110)
    assert (shape.kubelet, shape.platform) == ("v1.33.1", "linux/arm64")
    assert shape.origin.provider == "aws"


def test_a_node_that_says_nothing_is_not_ready() -> None:
    shape = node_shape(Node())
    assert (shape.ready, shape.capacity) == (False, Sums())
