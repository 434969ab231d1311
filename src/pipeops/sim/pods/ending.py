"""What a pod's status says after the main program of one of its containers has ended."""

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.objects import JsonObject, deep_copy, name_of, namespace_of, timestamp, uid_of
from pipeops.sim.pods.instances import PODS


def container_ended(cluster: SimulatedCluster, pod: JsonObject, container: str, code: int) -> None:
    """Record an exit code: the container starts again where its policy says so, else it is over.

    Does nothing when the pod is no longer there.
    """
    stored = cluster.store.get(PODS, namespace_of(pod), name_of(pod))
    if stored is None or uid_of(stored) != uid_of(pod):
        return
    changed: JsonObject = deep_copy(stored)
    now = timestamp(cluster.clock.now())
    policy = changed["spec"].get("restartPolicy", "Always")
    again = policy == "Always" or (policy == "OnFailure" and code != 0)
    statuses = changed.setdefault("status", {}).get("containerStatuses") or []
    for status in statuses:
        if status.get("name") == container:
            _note(status, code, now, again=again)
    ended = [(status.get("state") or {}).get("terminated") for status in statuses]
    if statuses and all(ended):
        failed = any(state["exitCode"] for state in ended if state)
        changed["status"]["phase"] = "Failed" if failed else "Succeeded"
        for condition in changed["status"].get("conditions") or ():
            if condition["type"] in {"Ready", "ContainersReady"}:
                condition.update(status="False", reason="PodCompleted", lastTransitionTime=now)
    cluster.store.put(PODS, changed)


def _note(status: JsonObject, code: int, now: str, *, again: bool) -> None:
    started = ((status.get("state") or {}).get("running") or {}).get("startedAt", now)
    terminated = {
        "exitCode": code,
        "reason": "Error" if code else "Completed",
        "startedAt": started,
        "finishedAt": now,
    }
    if status.get("containerID"):
        terminated["containerID"] = status["containerID"]
    if again:
        status["lastState"] = {"terminated": terminated}
        status["state"] = {"running": {"startedAt": now}}
        status["restartCount"] = status.get("restartCount", 0) + 1
    else:
        status["state"] = {"terminated": terminated}
        status["ready"] = status["started"] = False
