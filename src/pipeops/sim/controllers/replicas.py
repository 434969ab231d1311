"""ReplicaSets and ReplicationControllers: as many pods as the spec says."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import PODS, REPLICA_SETS, Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import (
    JsonObject,
    controller_of,
    deep_copy,
    dig,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from pipeops.sim.storage import Change

REPLICATION_CONTROLLERS = GroupResource("", "replicationcontrollers")


def is_ready(pod: JsonObject) -> bool:
    """Whether the pod's Ready condition is true."""
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in dig(pod, "status", "conditions") or ()
    )


def is_active(pod: JsonObject) -> bool:
    """Neither finished nor on its way out."""
    finished = dig(pod, "status", "phase") in {"Succeeded", "Failed"}
    return not finished and not pod["metadata"].get("deletionTimestamp")


def pod_from_template(owner: JsonObject, template: JsonObject, **head: object) -> JsonObject:
    """A pod as a controller creates it: labels and annotations of the template, an owner."""
    meta = template.get("metadata") or {}
    return {
        "metadata": {
            **head,
            "namespace": namespace_of(owner),
            **{
                key: dict(meta[key])
                for key in ("labels", "annotations")
                if isinstance(meta.get(key), dict) and meta[key]
            },
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": deep_copy(template.get("spec") or {}),
    }


class ReplicaSetController:
    """One for each of the two kinds."""

    def __init__(self, context: Context, place: GroupResource = REPLICA_SETS) -> None:
        self._context = context
        self._place = place
        self._kind = context.resource(place).kind

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Its own kind, and the pods it owns."""
        if place == self._place:
            yield own_key(place, change)
        elif place == PODS:
            owner = controller_of(change.object)
            if owner is not None and owner.get("kind") == self._kind:
                yield Key(self._place, namespace_of(change.object), owner["name"])

    def reconcile(self, key: Key) -> float | None:
        """Create or delete pods, then report."""
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return None
        pods = [pod for pod in self._context.owned(PODS, found) if is_active(pod)]
        if not found["metadata"].get("deletionTimestamp"):
            wanted = dig(found, "spec", "replicas") or 0
            for _ in range(wanted - len(pods)):
                if not self._create(found):
                    return 1.0
            for pod in sorted(pods, key=_doomed_first)[: max(0, len(pods) - wanted)]:
                self._context.delete(PODS, pod)
                message = f"Deleted pod: {name_of(pod)}"
                self._event(found, "SuccessfulDelete", message)
        self._report(key)
        return None

    def _create(self, owner: JsonObject) -> bool:
        template = owner["spec"].get("template") or {}
        pod = pod_from_template(owner, template, generateName=f"{name_of(owner)}-")
        made = self._context.create(PODS, namespace_of(owner), pod)
        if made is not None:
            self._event(owner, "SuccessfulCreate", f"Created pod: {name_of(made)}")
        return made is not None

    def _event(self, owner: JsonObject, reason: str, message: str) -> None:
        component = f"{self._kind.lower()}-controller"
        self._context.event(owner, reason, message, component=component)

    def _report(self, key: Key) -> None:
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return
        every = self._context.owned(PODS, found)
        pods = [pod for pod in every if is_active(pod)]
        labels = dig(found, "spec", "template", "metadata", "labels") or {}
        labelled = [pod for pod in pods if labels.items() <= labels_of(pod).items()]
        ready = [pod for pod in pods if is_ready(pod)]
        status: JsonObject = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(labelled),
            "readyReplicas": len(ready),
            "availableReplicas": len(ready),
            "terminatingReplicas": len(every) - len(pods),
            "observedGeneration": found["metadata"].get("generation", 0),
        }
        if self._place != REPLICA_SETS:
            del status["terminatingReplicas"]
        keep = {"replicas", "observedGeneration", "terminatingReplicas"}
        status = {name: value for name, value in status.items() if value or name in keep}
        self._context.set_status(self._place, found, status)


def _doomed_first(pod: JsonObject) -> tuple[bool, bool, str]:
    """Sort key: unscheduled, then not ready, then the youngest."""
    created = str(pod["metadata"]["creationTimestamp"])
    reversed_age = "".join(chr(0x10FFF - ord(char)) for char in created)
    return bool(dig(pod, "spec", "nodeName")), is_ready(pod), reversed_age
