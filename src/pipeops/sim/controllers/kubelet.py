"""The kubelets: pods on a node start, finish, and go when they are deleted."""

import hashlib
from collections.abc import Callable, Iterable

from pipeops.sim.controllers.context import NODES, PODS, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import (
    JsonObject,
    controller_of,
    deep_copy,
    dig,
    name_of,
    uid_of,
)
from pipeops.sim.options import DeleteOptions
from pipeops.sim.storage import Change

NAME = "kubelet"
START_SECONDS = 0.3
STOP_SECONDS = 0.2
RUN_SECONDS = 1.0
"""How long the program of a Job's pod takes."""
FINISHED = frozenset({"Succeeded", "Failed"})
_READY = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


def pod_address(index: int, serial: int) -> str:
    """The address of the `serial`-th pod on the node at a position in the list of nodes."""
    return f"10.244.{index % 256}.{serial % 253 + 2}"


class Kubelets:
    """All nodes' kubelets in one. `start_seconds` is from scheduled to ready."""

    def __init__(self, context: Context, *, start_seconds: float = START_SECONDS) -> None:
        self._context = context
        self._start_seconds = start_seconds
        self._serial = 0
        self._due: dict[str, dict[str, float]] = {}
        self._killing: set[str] = set()

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Pods that have a node."""
        if place != PODS:
            return
        if change.kind == "DELETED":
            self._due.pop(uid_of(change.object), None)
            self._killing.discard(uid_of(change.object))
        elif dig(change.object, "spec", "nodeName"):
            yield own_key(place, change)

    def reconcile(self, key: Key) -> float | None:
        """Bring one pod a step further in its life."""
        pod = self._context.store.get(key.place, key.namespace, key.name)
        if pod is None or not dig(pod, "spec", "nodeName"):
            return None
        phase = dig(pod, "status", "phase")
        if pod["metadata"].get("deletionTimestamp"):
            return self._stop(pod)
        if phase in {None, "Pending"}:
            if dig(pod, "status", "containerStatuses") is None:
                self._pull(pod)
            return self._after(pod, self._start_seconds, self._start)
        if phase == "Running":
            self._start_ephemeral(pod)
        if phase == "Running" and _finishes(pod):
            return self._after(pod, RUN_SECONDS, self._finish)
        return None

    def _after(
        self, pod: JsonObject, seconds: float, act: Callable[[JsonObject], None]
    ) -> float | None:
        # The next look may come early, because something else about the pod changed.
        now, step = self._context.clock.now(), act.__name__
        planned = self._due.setdefault(uid_of(pod), {})
        due = planned.setdefault(step, now + seconds)
        if now < due:
            return due - now
        del planned[step]
        found = self._context.store.get(PODS, pod["metadata"]["namespace"], name_of(pod))
        if found is not None:
            act(found)
        return None

    def _put(self, pod: JsonObject, status: JsonObject) -> None:
        self._context.store.put(PODS, {**deep_copy(pod), "status": status})

    def _event(self, pod: JsonObject, reason: str, message: str) -> None:
        node = pod["spec"]["nodeName"]
        self._context.event(pod, reason, message, component=NAME, host=node)

    def _pull(self, pod: JsonObject) -> None:
        moment = self._context.now_text()
        status = deep_copy(pod.get("status") or {})
        status["phase"] = "Pending"
        status.setdefault("startTime", moment)
        status["hostIP"] = self._host_address(pod)
        status["hostIPs"] = [{"ip": status["hostIP"]}]
        status["conditions"] = _conditions(status, moment, ready=False)
        waiting = {"waiting": {"reason": "ContainerCreating"}}
        status["containerStatuses"] = [
            _container_status(container, waiting) for container in pod["spec"]["containers"]
        ]
        self._put(pod, status)

    def _host_address(self, pod: JsonObject) -> str:
        node = self._context.store.get(NODES, "", pod["spec"]["nodeName"])
        for address in dig(node, "status", "addresses") or ():
            if address.get("type") == "InternalIP":
                return str(address.get("address", ""))
        return ""

    def _start(self, pod: JsonObject) -> None:
        spec, moment = pod["spec"], self._context.now_text()
        names = [name_of(node) for node in self._context.store.objects(NODES)]
        self._serial += 1
        index = names.index(spec["nodeName"]) if spec["nodeName"] in names else 0
        status = deep_copy(pod.get("status") or {})
        address = status.get("hostIP") if spec.get("hostNetwork") else None
        status["podIP"] = address or pod_address(index, self._serial)
        status["podIPs"] = [{"ip": status["podIP"]}]
        status["phase"] = "Running"
        status["conditions"] = _conditions(status, moment, ready=True)
        uid = uid_of(pod)
        status["containerStatuses"] = [
            _container_status(container, {"running": {"startedAt": moment}}, uid)
            for container in spec["containers"]
        ]
        if spec.get("initContainers"):
            done = {
                "terminated": {
                    "exitCode": 0,
                    "reason": "Completed",
                    "startedAt": moment,
                    "finishedAt": moment,
                }
            }
            status["initContainerStatuses"] = [
                _container_status(container, done, uid) for container in spec["initContainers"]
            ]
        self._put(pod, status)
        for container in spec["containers"]:
            image = container.get("image", "")
            message = f'Container image "{image}" already present on machine'
            self._event(pod, "Pulled", message)
            self._event(pod, "Created", f"Container created: {container['name']}")
            self._event(pod, "Started", f"Container started: {container['name']}")

    def _start_ephemeral(self, pod: JsonObject) -> None:
        listed = pod["spec"].get("ephemeralContainers") or []
        held = dig(pod, "status", "ephemeralContainerStatuses") or []
        if len(held) == len(listed):
            return
        running = {"running": {"startedAt": self._context.now_text()}}
        names = {status["name"] for status in held}
        new = [each for each in listed if each["name"] not in names]
        made = [_container_status(each, running, uid_of(pod)) for each in new]
        status = deep_copy(pod["status"])
        status["ephemeralContainerStatuses"] = [*held, *made]
        self._put(pod, status)

    def _finish(self, pod: JsonObject) -> None:
        moment = self._context.now_text()
        status = deep_copy(pod["status"])
        status["phase"] = "Succeeded"
        for condition in status.get("conditions") or ():
            if condition["type"] in {"Ready", "ContainersReady"}:
                condition.update(status="False", reason="PodCompleted", lastTransitionTime=moment)
        for container in status.get("containerStatuses") or ():
            started = dig(container, "state", "running", "startedAt") or moment
            container["ready"] = container["started"] = False
            container["state"] = {
                "terminated": {
                    "containerID": container.get("containerID", ""),
                    "exitCode": 0,
                    "finishedAt": moment,
                    "reason": "Completed",
                    "startedAt": started,
                }
            }
        self._put(pod, status)

    def _stop(self, pod: JsonObject) -> float | None:
        uid = uid_of(pod)
        if uid not in self._killing:
            self._killing.add(uid)
            if dig(pod, "status", "phase") == "Running":
                for container in pod["spec"]["containers"]:
                    self._event(pod, "Killing", f"Stopping container {container['name']}")
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        return self._after(pod, min(STOP_SECONDS, grace), self._remove)

    def _remove(self, pod: JsonObject) -> None:
        self._context.delete(PODS, pod, DeleteOptions(grace=0))


def _finishes(pod: JsonObject) -> bool:
    """Whether the pod's programs end by themselves: a Job's, or ones that only print something."""
    spec = pod["spec"]
    if spec.get("restartPolicy", "Always") == "Always":
        return False
    if (controller_of(pod) or {}).get("kind") == "Job":
        return True
    words = [
        *(spec["containers"][0].get("command") or ()),
        *(spec["containers"][0].get("args") or ()),
    ]
    return bool(words) and words[0] in {"echo", "true", "date", "hostname", "env"}


def _conditions(status: JsonObject, moment: str, *, ready: bool) -> list[JsonObject]:
    held = {condition["type"]: condition for condition in status.get("conditions") or ()}
    early = {"PodReadyToStartContainers", "Initialized"}
    for kind in _READY:
        state = "True" if ready or kind == "Initialized" else "False"
        if held.get(kind, {}).get("status") == state:
            continue
        made = {
            "type": kind,
            "status": state,
            "lastProbeTime": None,
            "lastTransitionTime": moment,
        }
        if state == "False" and kind not in early:
            made |= {"reason": "ContainersNotReady", "message": "containers with unready status"}
        held[kind] = made
    return list(held.values())


def _container_status(container: JsonObject, state: JsonObject, uid: str = "") -> JsonObject:
    running = "running" in state
    image = container.get("image", "")
    found: JsonObject = {
        "name": container["name"],
        "image": image,
        "imageID": "",
        "lastState": {},
        "ready": running or "terminated" in state,
        "restartCount": 0,
        "started": running,
        "state": deep_copy(state),
    }
    if uid:
        digest = hashlib.sha256(image.encode()).hexdigest()
        mark = hashlib.sha256(f"{uid}/{container['name']}".encode()).hexdigest()
        found["imageID"] = f"sim://sha256:{digest}"
        found["containerID"] = f"containerd://{mark}"
    return found
