import pytest

from pipeops.sim.tables.pods import event_row, pod_row, pod_status


def pod(phase: str, state: dict | None = None, **status: object) -> dict:
    statuses = [{"name": "a", "state": state, "ready": "running" in state}] if state else []
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "a"}]},
        "status": {"phase": phase, "containerStatuses": statuses, **status},
    }


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod("Pending"), "Pending"),
        (pod("Pending", {"waiting": {"reason": "ContainerCreating"}}), "ContainerCreating"),
        (pod("Running", {"running": {}}), "Running"),
        (pod("Running", {"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff"),
        (pod("Failed", {"terminated": {"exitCode": 3}}), "ExitCode:3"),
        (pod("Failed", {"terminated": {"signal": 9, "exitCode": 137}}), "Signal:9"),
        (
            pod("Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed"}}),
            "Completed",
        ),
    ],
)
def test_the_status_is_the_reason_that_people_look_for(obj: dict, expected: str) -> None:
    assert pod_status(obj) == expected


def test_a_pod_that_is_deleted_terminates() -> None:
    obj = pod("Running", {"running": {}})
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod_status(obj) == "Terminating"


def test_init_containers_are_counted() -> None:
    obj = pod("Pending", initContainerStatuses=[{"state": {"running": {}}}])
    obj["spec"]["initContainers"] = [{"name": "i"}]
    assert pod_status(obj) == "Init:0/1"


def test_the_row_counts_ready_containers() -> None:
    row = pod_row(pod("Running", {"running": {}}), 0)
    assert row[:3] == ["p", "1/1", "Running"]


def test_an_event_names_its_object() -> None:
    event = {
        "metadata": {"name": "e", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "type": "Normal",
        "reason": "Started",
        "message": "text ",
        "involvedObject": {"kind": "Pod", "name": "p"},
    }
    assert event_row(event, 1_767_225_600)[1:5] == [
        "Normal",
        "Started",
        "pod/p",
        event_row(event, 0)[4],
    ]
