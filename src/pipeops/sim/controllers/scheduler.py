"""The scheduler: a node for every pod that has none."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import NODES, PODS, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, deep_copy, dig, labels_of, name_of, namespace_of
from pipeops.sim.storage import Change

NAME = "default-scheduler"
RETRY_SECONDS = 5.0
_REPELLING = frozenset({"NoSchedule", "NoExecute"})


def tolerates(pod: JsonObject, taint: JsonObject) -> bool:
    """Whether the pod may run in spite of a taint."""
    for toleration in dig(pod, "spec", "tolerations") or ():
        key = toleration.get("key")
        if key and key != taint.get("key"):
            continue
        if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
            continue
        if toleration.get("operator") == "Exists" or not key:
            return True
        if (toleration.get("value") or "") == (taint.get("value") or ""):
            return True
    return False


def fits(pod: JsonObject, node: JsonObject) -> bool:
    """Whether selector, taints and cordon let the pod onto the node."""
    selector = dig(pod, "spec", "nodeSelector") or {}
    if not selector.items() <= labels_of(node).items():
        return False
    if dig(node, "spec", "unschedulable"):
        return False
    return all(
        tolerates(pod, taint)
        for taint in dig(node, "spec", "taints") or ()
        if taint.get("effect") in _REPELLING
    )


class Scheduler:
    """Spreads pods over the nodes that take them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Pods without a node; all of those again when a node changes."""
        if place == PODS and change.kind != "DELETED" and _unplaced(change.object):
            yield own_key(place, change)
        elif place == NODES and change.kind != "DELETED":
            for pod in self._context.store.objects(PODS):
                if _unplaced(pod):
                    yield Key(PODS, namespace_of(pod), name_of(pod))

    def reconcile(self, key: Key) -> float | None:
        """Place one pod."""
        pod = self._context.store.get(key.place, key.namespace, key.name)
        if pod is None or not _unplaced(pod):
            return None
        nodes = self._context.store.objects(NODES)
        candidates = [node for node in nodes if fits(pod, node)]
        if not candidates:
            self._unschedulable(pod, len(nodes))
            return RETRY_SECONDS
        load = {name_of(node): 0 for node in candidates}
        for other in self._context.store.objects(PODS):
            name = dig(other, "spec", "nodeName")
            if name in load:
                load[name] += 1
        node = min(sorted(load), key=lambda name: load[name])
        self._bind(pod, node)
        return None

    def _bind(self, pod: JsonObject, node: str) -> None:
        placed: JsonObject = deep_copy(pod)
        placed["spec"]["nodeName"] = node
        _set_condition(placed, "True", self._context.now_text())
        self._context.store.put(PODS, placed)
        message = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._context.event(pod, "Scheduled", message, component=NAME)

    def _unschedulable(self, pod: JsonObject, nodes: int) -> None:
        message = (
            f"0/{nodes} nodes are available: {nodes} node(s) didn't match the pod's constraints."
        )
        held = dig(pod, "status", "conditions") or ()
        if any(condition.get("reason") == "Unschedulable" for condition in held):
            return
        waiting: JsonObject = deep_copy(pod)
        moment = self._context.now_text()
        _set_condition(waiting, "False", moment, reason="Unschedulable", message=message)
        self._context.store.put(PODS, waiting)
        self._context.event(pod, "FailedScheduling", message, component=NAME, kind="Warning")


def _unplaced(pod: JsonObject) -> bool:
    if pod["metadata"].get("deletionTimestamp") or dig(pod, "spec", "schedulingGates"):
        return False
    mine = (dig(pod, "spec", "schedulerName") or NAME) == NAME
    return mine and not dig(pod, "spec", "nodeName")


def _set_condition(pod: JsonObject, status: str, moment: str, **more: str) -> None:
    held = pod.setdefault("status", {}).get("conditions") or []
    others = [condition for condition in held if condition.get("type") != "PodScheduled"]
    made = {
        "type": "PodScheduled",
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": moment,
        **more,
    }
    pod["status"]["conditions"] = [*others, made]
