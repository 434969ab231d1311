"""The garbage collector: what has lost its owner goes, and orphans stay."""

from collections.abc import Iterable

from pipeops.sim.controllers.context import Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.deleting import FOREGROUND, ORPHAN
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, namespace_of, uid_of
from pipeops.sim.options import DeleteOptions
from pipeops.sim.storage import Change


def _references(obj: JsonObject) -> list[JsonObject]:
    return obj["metadata"].get("ownerReferences") or []


class Collector:
    """Follows owner references. Dependents are indexed by their owners' uids."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._dependents: dict[str, set[Key]] = {}

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Objects with owners, dependents of what went, and what waits for the collector."""
        key = own_key(place, change)
        before = change.previous if change.previous is not None else {"metadata": {}}
        for reference in _references(before):
            self._dependents.get(reference.get("uid", ""), set()).discard(key)
        if change.kind == "DELETED":
            # A foreground deletion of an owner waits for this one.
            for reference in _references(change.object):
                resource = self._context.registry.by_kind(
                    reference.get("apiVersion", ""), reference.get("kind", "")
                )
                if resource is not None:
                    yield Key(resource.storage, key.namespace, reference.get("name", ""))
            yield from self._dependents.pop(uid_of(change.object), ())
            return
        for reference in _references(change.object):
            self._dependents.setdefault(reference.get("uid", ""), set()).add(key)
        finalizers = change.object["metadata"].get("finalizers") or ()
        waiting = change.object["metadata"].get("deletionTimestamp") and (
            ORPHAN in finalizers or FOREGROUND in finalizers
        )
        if waiting or (_references(change.object) and change.kind == "ADDED"):
            yield key

    def reconcile(self, key: Key) -> float | None:
        """Delete an object without owners, or finish one that waits for its dependents."""
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return None
        head = found["metadata"]
        finalizers = head.get("finalizers") or []
        if head.get("deletionTimestamp"):
            if ORPHAN in finalizers:
                self._release(found)
                self._finish(key, ORPHAN)
            elif FOREGROUND in finalizers:
                self._delete_dependents(key, found)
            return None
        references = _references(found)
        if not references:
            return None
        alive = [reference for reference in references if self._exists(reference, found)]
        if not alive:
            self._context.delete(key.place, found, DeleteOptions())
        elif len(alive) < len(references):

            def change(new: JsonObject) -> None:
                new["metadata"]["ownerReferences"] = alive

            self._context.modify(key.place, found, change)
        return None

    def _exists(self, reference: JsonObject, dependent: JsonObject) -> bool:
        resource = self._context.registry.by_kind(
            reference.get("apiVersion", ""), reference.get("kind", "")
        )
        if resource is None:
            return True  # unknown kinds cannot be looked up, so nothing is concluded
        namespace = namespace_of(dependent) if resource.namespaced else ""
        owner = self._context.store.get(resource.storage, namespace, reference.get("name", ""))
        return owner is not None and uid_of(owner) == reference.get("uid")

    def _release(self, owner: JsonObject) -> None:
        uid = uid_of(owner)
        for key in list(self._dependents.get(uid, ())):
            found = self._context.store.get(key.place, key.namespace, key.name)
            if found is None:
                continue
            kept = [reference for reference in _references(found) if reference.get("uid") != uid]

            def change(new: JsonObject, kept: list[JsonObject] = kept) -> None:
                new["metadata"]["ownerReferences"] = kept
                if not kept:
                    del new["metadata"]["ownerReferences"]

            self._context.modify(key.place, found, change)

    def _delete_dependents(self, key: Key, owner: JsonObject) -> None:
        uid = uid_of(owner)
        left = False
        for other in list(self._dependents.get(uid, ())):
            found = self._context.store.get(other.place, other.namespace, other.name)
            if found is None:
                continue
            blocks = any(
                reference.get("uid") == uid and reference.get("blockOwnerDeletion")
                for reference in _references(found)
            )
            left = left or blocks
            if not found["metadata"].get("deletionTimestamp"):
                self._context.delete(other.place, found, DeleteOptions(propagation="Foreground"))
                still = self._context.store.get(other.place, other.namespace, other.name)
                left = left and (still is not None or not blocks)
        if not left:
            self._finish(key, FOREGROUND)

    def _finish(self, key: Key, finalizer: str) -> None:
        found = self._context.store.get(key.place, key.namespace, key.name)
        if found is None:
            return

        def change(new: JsonObject) -> None:
            held = new["metadata"].get("finalizers") or []
            new["metadata"]["finalizers"] = [item for item in held if item != finalizer]
            if not new["metadata"]["finalizers"]:
                del new["metadata"]["finalizers"]

        self._context.modify(key.place, found, change)
