import pytest

from pipeops.sim.tables.rows import ROWS
from pipeops.sim.tables.table import layout
from tests.unit.sim.conftest import START, World


def cells(plural: str, obj: dict, group: str = "") -> list:
    obj.setdefault("metadata", {}).setdefault("name", "x")
    return ROWS[group, plural][1](obj, START)


def test_every_row_has_as_many_cells_as_columns(world: World) -> None:
    checked = 0
    for resource in world.cluster.registry.all():
        if (resource.group, resource.plural) in ROWS:
            columns, row = layout(resource)
            empty = {"metadata": {"name": "x"}, "spec": {}, "status": {}}
            assert len(row(empty, START)) == len(columns), resource.plural
            checked += 1
    assert checked > 20


def test_workloads_show_their_counts() -> None:
    spec, status = {"replicas": 3}, {"readyReplicas": 2, "updatedReplicas": 3}
    found = cells("deployments", {"spec": spec, "status": status}, "apps")
    assert found[:4] == ["x", "2/3", 3, 0]
    assert cells("statefulsets", {"spec": spec, "status": status}, "apps")[1] == "2/3"
    assert cells("replicasets", {"spec": spec, "status": {"replicas": 3}}, "apps")[1:4] == [3, 3, 0]


def test_services_show_address_and_ports() -> None:
    spec = {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}
    assert cells("services", {"spec": spec})[:5] == [
        "x",
        "ClusterIP",
        "10.0.0.1",
        "<none>",
        "80/TCP",
    ]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "Ready"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "NotReady"),
        ({"status": {}}, "Unknown"),
        (
            {
                "spec": {"unschedulable": True},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
            "Ready,SchedulingDisabled",
        ),
    ],
)
def test_nodes_show_their_state(node: dict, expected: str) -> None:
    assert cells("nodes", node)[1] == expected


def test_jobs_show_state_and_completions() -> None:
    status = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
    found = cells("jobs", {"spec": {"completions": 1}, "status": status}, "batch")
    assert found[1:3] == ["Complete", "1/1"]
