"""DELETE: grace periods, finalizers, preconditions, propagation; and what the answer shows."""

from dataclasses import dataclass

from pipeops.sim.clock import Clock
from pipeops.sim.errors import conflict, details_of
from pipeops.sim.kinds import Resource
from pipeops.sim.objects import (
    JsonObject,
    deep_copy,
    dig,
    name_of,
    namespace_of,
    parse_timestamp,
    timestamp,
    uid_of,
)
from pipeops.sim.options import DeleteOptions
from pipeops.sim.storage import Store
from pipeops.sim.strategy import RETURNS_DELETED

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_DEFAULT_GRACE = 30


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of the object: its last state, and whether it is gone."""

    object: JsonObject
    gone: bool


class Deleter:
    """Deletes objects. Calls never await, so each of them is atomic."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def delete(
        self, resource: Resource, obj: JsonObject, options: DeleteOptions | None = None
    ) -> Deletion:
        """Delete, or mark as being deleted; 409 when a precondition does not hold."""
        options = options or DeleteOptions()
        self._check(resource, obj, options)
        grace = _grace(resource, obj, options)
        head = obj["metadata"]
        finalizers = _finalizers(head, options)
        is_namespace = resource.plural == "namespaces" and not resource.group
        waits = bool(finalizers) or grace > 0 or (is_namespace and _spec_finalizers(obj))
        if options.dry_run:
            return Deletion(obj, not waits)
        if not waits:
            last = self._store.remove(resource.storage, namespace_of(obj), name_of(obj))
            return Deletion(last or obj, gone=True)
        if head.get("deletionTimestamp") and not _sooner(head, grace):
            return Deletion(obj, gone=False)
        marked: JsonObject = deep_copy(obj)
        meta = marked["metadata"]
        base = self._clock.now()
        if head.get("deletionTimestamp"):
            base = parse_timestamp(head["deletionTimestamp"])
            base -= head.get("deletionGracePeriodSeconds", 0)
        elif meta.get("generation"):
            meta["generation"] += 1
        meta["deletionTimestamp"] = timestamp(base + grace)
        if not is_namespace:
            meta["deletionGracePeriodSeconds"] = grace
        if finalizers:
            meta["finalizers"] = finalizers
        if is_namespace:
            marked["status"] = {**(marked.get("status") or {}), "phase": "Terminating"}
        return Deletion(self._store.put(resource.storage, marked), gone=False)

    @staticmethod
    def _check(resource: Resource, obj: JsonObject, options: DeleteOptions) -> None:
        found = uid_of(obj)
        if options.uid and options.uid != found:
            why = (
                f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: "
                f"{found}"
            )
            raise conflict(resource.group, resource.plural, name_of(obj), why)
        version = obj["metadata"]["resourceVersion"]
        if options.version and options.version != version:
            why = (
                "Precondition failed: ResourceVersion in precondition: "
                f"{options.version}, ResourceVersion in object meta: {version}"
            )
            raise conflict(resource.group, resource.plural, name_of(obj), why)


def _spec_finalizers(obj: JsonObject) -> bool:
    return bool(dig(obj, "spec", "finalizers"))


def _sooner(head: JsonObject, grace: int) -> bool:
    return grace < int(head.get("deletionGracePeriodSeconds") or 0)


def _grace(resource: Resource, obj: JsonObject, options: DeleteOptions) -> int:
    if resource.plural != "pods" or resource.group:
        return 0
    if not dig(obj, "spec", "nodeName") or dig(obj, "status", "phase") in {"Succeeded", "Failed"}:
        return 0
    if options.grace is not None:
        return max(options.grace, 0)
    asked = dig(obj, "spec", "terminationGracePeriodSeconds")
    return int(asked) if asked is not None else _DEFAULT_GRACE


def _finalizers(head: JsonObject, options: DeleteOptions) -> list[str]:
    held = [item for item in head.get("finalizers") or () if item not in {ORPHAN, FOREGROUND}]
    if options.propagation == "Orphan":
        held.append(ORPHAN)
    elif options.propagation == "Foreground":
        held.append(FOREGROUND)
    return held


def deletion_answer(resource: Resource, deletion: Deletion) -> JsonObject:
    """The body of the answer: the object, or a Status where the kind's deletion says no more."""
    if not deletion.gone or (resource.group, resource.plural) in RETURNS_DELETED:
        return deletion.object
    name, uid = name_of(deletion.object), uid_of(deletion.object)
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details_of(name, resource.group, resource.plural, uid=uid),
    }
