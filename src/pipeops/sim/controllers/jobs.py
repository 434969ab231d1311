"""Jobs: pods that run to their end, so many times."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import PODS, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.controllers.replicas import is_active, is_ready, pod_from_template
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, controller_of, dig, name_of, namespace_of, uid_of
from pipeops.sim.storage import Change

JOBS = GroupResource("batch", "jobs")
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"


class JobController:
    """Starts pods until enough of them have succeeded."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Jobs and their pods."""
        if place == JOBS:
            yield own_key(place, change)
        elif place == PODS:
            owner = controller_of(change.object)
            if owner is not None and owner.get("kind") == "Job":
                yield Key(JOBS, namespace_of(change.object), owner["name"])

    def reconcile(self, key: Key) -> float | None:
        """Start what is missing, then report."""
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return None
        ended = any(c["status"] == "True" for c in dig(found, "status", "conditions") or ())
        idle = found["metadata"].get("deletionTimestamp") or dig(found, "spec", "suspend")
        if not ended and not idle:
            self._step(found)
        self._report(key)
        return None

    def _step(self, job: JsonObject) -> None:
        spec = job["spec"]
        pods = self._context.owned(PODS, job)
        active = sum(map(is_active, pods))
        succeeded = sum(dig(pod, "status", "phase") == "Succeeded" for pod in pods)
        completions = spec.get("completions") or 1
        for _ in range(min(spec.get("parallelism", 1), completions - succeeded) - active):
            pod = pod_from_template(job, spec["template"], generateName=f"{name_of(job)}-")
            labels = pod["metadata"].setdefault("labels", {})
            labels |= {
                CONTROLLER_UID: uid_of(job),
                "controller-uid": uid_of(job),
                JOB_NAME: name_of(job),
                "job-name": name_of(job),
            }
            made = self._context.create(PODS, namespace_of(job), pod)
            if made is None:
                return
            message = f"Created pod: {name_of(made)}"
            self._context.event(job, "SuccessfulCreate", message, component="job-controller")

    def _report(self, key: Key) -> None:
        job = self._context.store.get(key.place, key.namespace, key.name)
        if job is None:
            return
        pods = self._context.owned(PODS, job)
        active = [pod for pod in pods if is_active(pod)]
        succeeded = sum(dig(pod, "status", "phase") == "Succeeded" for pod in pods)
        failed = sum(dig(pod, "status", "phase") == "Failed" for pod in pods)
        old: JsonObject = job.get("status") or {}
        now = self._context.now_text()
        status: JsonObject = {
            "startTime": old.get("startTime") or now,
            "active": len(active),
            "ready": sum(map(is_ready, active)),
            "terminating": 0,
            "succeeded": succeeded,
            "failed": failed,
            "uncountedTerminatedPods": {},
        }
        keep = {"startTime", "ready", "terminating", "uncountedTerminatedPods"}
        status = {name: value for name, value in status.items() if value or name in keep}
        if succeeded >= (job["spec"].get("completions") or 1):
            status["completionTime"] = old.get("completionTime") or now
            status["conditions"] = old.get("conditions") or _completed(now)
            if not old.get("conditions"):
                text = "Job completed"
                self._context.event(job, "Completed", text, component="job-controller")
        self._context.set_status(JOBS, job, status)


def _completed(now: str) -> list[JsonObject]:
    return [
        {
            "type": kind,
            "status": "True",
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": "CompletionsReached",
            "message": "Reached expected number of succeeded pods",
        }
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
