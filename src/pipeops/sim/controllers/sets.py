"""StatefulSets and DaemonSets: pods with fixed names, and one pod on every node."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import NODES, PODS, Context, Key
from pipeops.sim.controllers.deployments import template_hash
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.controllers.replicas import is_active, is_ready, pod_from_template
from pipeops.sim.controllers.scheduler import fits
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import (
    JsonObject,
    controller_of,
    dig,
    labels_of,
    name_of,
    namespace_of,
)
from pipeops.sim.storage import Change

STATEFUL_SETS = GroupResource("apps", "statefulsets")
DAEMON_SETS = GroupResource("apps", "daemonsets")
REVISION_LABEL = "controller-revision-hash"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_DAEMON_TOLERATIONS = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
)


def _concerns(
    owner_place: GroupResource, kind: str, place: GroupResource, change: Change
) -> Iterable[Key]:
    if place == owner_place:
        yield own_key(place, change)
    elif place == PODS:
        owner = controller_of(change.object)
        if owner is not None and owner.get("kind") == kind:
            yield Key(owner_place, namespace_of(change.object), owner["name"])


class StatefulSetController:
    """Pods `name-0`, `name-1`, …, one after another unless the policy is Parallel."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """StatefulSets and their pods."""
        return _concerns(STATEFUL_SETS, "StatefulSet", place, change)

    def reconcile(self, key: Key) -> float | None:
        """Create, replace or delete at most the next pod."""
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return None
        if not found["metadata"].get("deletionTimestamp"):
            self._step(found)
        self._report(key)
        return None

    def _pods(self, owner: JsonObject) -> dict[int, JsonObject]:
        found = {}
        for pod in self._context.owned(PODS, owner):
            number = name_of(pod).rpartition("-")[2]
            if number.isdigit():
                found[int(number)] = pod
        return found

    def _step(self, owner: JsonObject) -> None:
        pods = self._pods(owner)
        wanted = dig(owner, "spec", "replicas") or 0
        parallel = dig(owner, "spec", "podManagementPolicy") == "Parallel"
        for index in range(wanted):
            pod = pods.get(index)
            if pod is None:
                self._create(owner, index)
            if not parallel and (pod is None or not is_ready(pod) or not is_active(pod)):
                return
        for index in sorted((i for i in pods if i >= wanted), reverse=True):
            if is_active(pods[index]):
                self._delete(owner, pods[index])
            if not parallel:
                return
        self._replace_outdated(owner, pods)

    def _replace_outdated(self, owner: JsonObject, pods: dict[int, JsonObject]) -> None:
        if dig(owner, "spec", "updateStrategy", "type") == "OnDelete":
            return
        partition = dig(owner, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
        revision = _revision(owner)
        for index in sorted((i for i in pods if i >= partition), reverse=True):
            pod = pods[index]
            if labels_of(pod).get(REVISION_LABEL) != revision:
                if is_active(pod):
                    self._delete(owner, pod)
                return
            if not is_ready(pod):
                return

    def _create(self, owner: JsonObject, index: int) -> None:
        name = f"{name_of(owner)}-{index}"
        pod = pod_from_template(owner, owner["spec"]["template"], name=name)
        labels = pod["metadata"].setdefault("labels", {})
        labels |= {
            REVISION_LABEL: _revision(owner),
            POD_NAME_LABEL: name,
            INDEX_LABEL: str(index),
        }
        pod["spec"] |= {"hostname": name, "subdomain": dig(owner, "spec", "serviceName") or ""}
        if not pod["spec"]["subdomain"]:
            del pod["spec"]["subdomain"]
        if self._context.create(PODS, namespace_of(owner), pod) is not None:
            self._event(owner, "SuccessfulCreate", f"create Pod {name} in StatefulSet")

    def _delete(self, owner: JsonObject, pod: JsonObject) -> None:
        self._context.delete(PODS, pod)
        self._event(owner, "SuccessfulDelete", f"delete Pod {name_of(pod)} in StatefulSet")

    def _event(self, owner: JsonObject, reason: str, message: str) -> None:
        text = f"{message} {name_of(owner)} successful"
        self._context.event(owner, reason, text, component="statefulset-controller")

    def _report(self, key: Key) -> None:
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return
        pods = [pod for pod in self._pods(found).values() if is_active(pod)]
        ready = sum(map(is_ready, pods))
        revision = _revision(found)
        updated = sum(labels_of(pod).get(REVISION_LABEL) == revision for pod in pods)
        current = dig(found, "status", "currentRevision") or revision
        if updated == len(pods) == (dig(found, "spec", "replicas") or 0):
            current = revision
        status = {
            "observedGeneration": found["metadata"].get("generation", 0),
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": sum(labels_of(p).get(REVISION_LABEL) == current for p in pods),
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
        }
        self._context.set_status(STATEFUL_SETS, found, status)


def _revision(owner: JsonObject) -> str:
    return f"{name_of(owner)}-{template_hash(owner['spec']['template'])}"


class DaemonSetController:
    """One pod on each node that takes it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """DaemonSets, their pods, and every DaemonSet when the nodes change."""
        yield from _concerns(DAEMON_SETS, "DaemonSet", place, change)
        if place == NODES:
            for owner in self._context.store.objects(DAEMON_SETS):
                yield Key(DAEMON_SETS, namespace_of(owner), name_of(owner))

    def reconcile(self, key: Key) -> float | None:
        """Add and remove pods, replace outdated ones."""
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return None
        nodes = self._nodes(found)
        if not found["metadata"].get("deletionTimestamp"):
            self._step(found, nodes)
        self._report(key, nodes)
        return None

    def _nodes(self, owner: JsonObject) -> list[str]:
        pod = self._pod(owner, "")
        return [name_of(node) for node in self._context.store.objects(NODES) if fits(pod, node)]

    def _pod(self, owner: JsonObject, node: str) -> JsonObject:
        template = owner["spec"]["template"]
        pod = pod_from_template(owner, template, generateName=f"{name_of(owner)}-")
        pod["metadata"].setdefault("labels", {})[REVISION_LABEL] = template_hash(template)
        pod["spec"]["nodeName"] = node
        held = pod["spec"].setdefault("tolerations", [])
        held += [{"key": key, "operator": "Exists"} for key in _DAEMON_TOLERATIONS]
        return pod

    def _step(self, owner: JsonObject, nodes: list[str]) -> None:
        pods = [pod for pod in self._context.owned(PODS, owner) if is_active(pod)]
        held = {pod["spec"].get("nodeName"): pod for pod in pods}
        for node in nodes:
            if node not in held:
                made = self._context.create(PODS, namespace_of(owner), self._pod(owner, node))
                if made is not None:
                    self._event(owner, "SuccessfulCreate", f"Created pod: {name_of(made)}")
        revision = template_hash(owner["spec"]["template"])
        rolling = dig(owner, "spec", "updateStrategy", "type") != "OnDelete"
        for node, pod in held.items():
            outdated = rolling and labels_of(pod).get(REVISION_LABEL) != revision
            if node not in nodes or (outdated and all(map(is_ready, pods))):
                self._context.delete(PODS, pod)
                self._event(owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
                if outdated:
                    return

    def _event(self, owner: JsonObject, reason: str, message: str) -> None:
        self._context.event(owner, reason, message, component="daemonset-controller")

    def _report(self, key: Key, nodes: list[str]) -> None:
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return
        pods = [pod for pod in self._context.owned(PODS, found) if is_active(pod)]
        ready = sum(map(is_ready, pods))
        revision = template_hash(found["spec"]["template"])
        status = {
            "currentNumberScheduled": len(pods),
            "numberMisscheduled": sum(pod["spec"].get("nodeName") not in nodes for pod in pods),
            "desiredNumberScheduled": len(nodes),
            "numberReady": ready,
            "observedGeneration": found["metadata"].get("generation", 0),
            "updatedNumberScheduled": sum(
                labels_of(pod).get(REVISION_LABEL) == revision for pod in pods
            ),
            "numberAvailable": ready,
            "numberUnavailable": max(0, len(nodes) - ready),
        }
        always = {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled"}
        always.add("numberReady")
        shown = {name: value for name, value in status.items() if value or name in always}
        self._context.set_status(DAEMON_SETS, found, shown)
