"""Pod status after a program's end."""

import pytest

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.pods.ending import container_ended
from pipeops.sim.pods.instances import PODS


def ended(policy: str, code: int) -> dict:
    cluster = SimulatedCluster()
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "main", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": "t"}}}],
    }  # fmt: skip
    spec = {"restartPolicy": policy, "containers": [{"name": "main", "image": "x"}]}
    head = {"name": "p1", "namespace": "default"}
    pod = cluster.install(
        {"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec, "status": status}
    )
    container_ended(cluster, pod, "main", code)
    return cluster.store.get(PODS, "default", "p1")["status"]


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [("Never", 0, "Succeeded", 0), ("Never", 5, "Failed", 0), ("OnFailure", 0, "Succeeded", 0),
     ("OnFailure", 1, "Running", 1), ("Always", 0, "Running", 1)],
)  # fmt: skip
def test_the_restart_policy_decides(policy: str, code: int, phase: str, restarts: int) -> None:
    status = ended(policy, code)
    assert status["phase"] == phase
    (container,) = status["containerStatuses"]
    assert container["restartCount"] == restarts
    state = container["lastState"] if restarts else container["state"]
    assert state["terminated"]["exitCode"] == code


def test_a_pod_that_is_gone_stays_gone() -> None:
    cluster = SimulatedCluster()
    pod = {"metadata": {"name": "x", "namespace": "default", "uid": "u"}, "spec": {}}
    container_ended(cluster, pod, "main", 0)
    assert cluster.store.get(PODS, "default", "x") is None
