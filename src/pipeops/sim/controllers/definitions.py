"""CustomResourceDefinitions: serves what they define, while they exist."""

from collections.abc import Iterable, Iterator
from types import MappingProxyType

from pipeops.sim.controllers.context import Context, Key
from pipeops.sim.controllers.loop import own_key
from pipeops.sim.kinds import GroupResource, Resource, Subresource
from pipeops.sim.objects import JsonObject, dig, name_of
from pipeops.sim.storage import Change

DEFINITIONS = GroupResource("apiextensions.k8s.io", "customresourcedefinitions")
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SUB_VERBS = ("get", "patch", "update")


def served_resources(definition: JsonObject) -> Iterator[Resource]:
    """A resource for each served version."""
    spec = definition["spec"]
    names = spec["names"]
    for version in spec.get("versions") or ():
        if not version.get("served"):
            continue
        below = {}
        wanted = version.get("subresources") or {}
        if "status" in wanted:
            below["status"] = Subresource("status", names["kind"], "", _SUB_VERBS)
        if "scale" in wanted:
            below["scale"] = Subresource("scale", "Scale", "autoscaling/v1", _SUB_VERBS)
        yield Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            singular=names.get("singular") or names["kind"].lower(),
            kind=names["kind"],
            namespaced=spec.get("scope") == "Namespaced",
            verbs=VERBS,
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=MappingProxyType(below),
            custom=version,
            list_kind=names.get("listKind") or names["kind"] + "List",
        )


class DefinitionController:
    """Installs and uninstalls what the definitions name."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def concerns(self, place: GroupResource, change: Change) -> Iterable[Key]:
        """Definitions."""
        if place == DEFINITIONS:
            yield own_key(place, change)

    def reconcile(self, key: Key) -> float | None:
        """Serve one definition, or end it with all of its objects."""
        registry, store = self._context.registry, self._context.store
        found = store.get(DEFINITIONS, "", key.name)
        if found is None:
            registry.uninstall(key.name)
            return None
        if found["metadata"].get("deletionTimestamp"):
            self._end(found)
            return None
        registry.install(key.name, list(served_resources(found)))
        if CLEANUP not in (found["metadata"].get("finalizers") or ()):

            def hold(new: JsonObject) -> None:
                new["metadata"].setdefault("finalizers", []).append(CLEANUP)

            found = self._context.modify(DEFINITIONS, found, hold)
        self._report(found)
        return None

    def _end(self, definition: JsonObject) -> None:
        spec = definition["spec"]
        place = GroupResource(spec["group"], spec["names"]["plural"])
        for obj in self._context.store.objects(place):
            self._context.delete(place, obj)

        def release(new: JsonObject) -> None:
            held = new["metadata"].get("finalizers") or []
            new["metadata"]["finalizers"] = [item for item in held if item != CLEANUP]

        self._context.modify(DEFINITIONS, definition, release)

    def _report(self, definition: JsonObject) -> None:
        spec = definition["spec"]
        now = self._context.now_text()
        held = {c["type"]: c for c in dig(definition, "status", "conditions") or ()}
        texts = {
            "NamesAccepted": ("NoConflicts", "no conflicts found"),
            "Established": ("InitialNamesAccepted", "the initial names have been accepted"),
        }
        conditions = [
            held.get(kind)
            or {
                "type": kind,
                "status": "True",
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
            for kind, (reason, message) in texts.items()
        ]
        stored = [v["name"] for v in spec.get("versions") or () if v.get("storage")]
        status = {
            "acceptedNames": spec["names"],
            "conditions": conditions,
            "storedVersions": stored or [name_of(definition)],
        }
        self._context.set_status(DEFINITIONS, definition, status)
