"""Writing objects by the API server's rules: for HTTP requests and for the built-in controllers."""

from collections.abc import Callable
from uuid import uuid4

from pipeops.sim.clock import Clock
from pipeops.sim.defaults.kinds import set_defaults
from pipeops.sim.errors import (
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
    stale,
)
from pipeops.sim.kinds import GroupResource, Registry, Resource
from pipeops.sim.managed import Actor, record_update, without_managed_fields
from pipeops.sim.objects import JsonObject, deep_copy, name_of, namespace_of, timestamp, uid_of
from pipeops.sim.schema.model import definition_of
from pipeops.sim.storage import Store
from pipeops.sim.strategy import (
    MAX_GENERATED,
    has_status,
    prepare_create,
    prepare_update,
    random_suffix,
)
from pipeops.sim.validation.kinds import refusal

NAMESPACES = GroupResource("", "namespaces")
_FIXED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
    "selfLink",
)
GENERATE_ATTEMPTS = 8


class Writer:
    """Creates and changes objects. Calls never await, so each of them is atomic."""

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def create(
        self,
        resource: Resource,
        namespace: str,
        obj: JsonObject,
        actor: Actor,
        *,
        dry_run: bool = False,
        record: bool = True,
    ) -> JsonObject:
        """Store a new object (which the store owns from now on).

        Raises:
            ApiError: 400 for a namespace that does not match, 403, 404 for a missing or ending
                namespace, 409 when the name is taken, 422 for mistakes.
        """
        head = obj["metadata"]
        for key in (*_FIXED[:4], "resourceVersion", "selfLink", "generation"):
            head.pop(key, None)
        self._place(resource, namespace, obj)
        definition = definition_of(resource)
        if not head.get("name") and head.get("generateName"):
            head["name"] = self._generated(resource, namespace, head["generateName"])
        head["uid"], head["creationTimestamp"] = str(uuid4()), timestamp(self._clock.now())
        set_defaults(resource, obj)
        if record:
            given = obj if resource.custom or not has_status(resource) else _no_status(obj)
            head.pop("managedFields", None)
            record_update(None, given, definition, actor, self._clock.now())
        if resource.namespaced:
            self._require_namespace(resource, namespace, name_of(obj))
        prepare_create(self._store, resource, obj)
        problem = refusal(resource, None, obj)
        if problem is not None:
            raise problem
        if self._store.get(resource.storage, namespace, name_of(obj)) is not None:
            raise already_exists(resource.group, resource.plural, name_of(obj))
        return obj if dry_run else self._store.put(resource.storage, obj)

    def _place(self, resource: Resource, namespace: str, obj: JsonObject) -> None:
        head = obj["metadata"]
        if not resource.namespaced:
            if head.pop("namespace", None):
                raise bad_request("namespace may not be set on cluster-scoped objects")
            return
        if head.setdefault("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _generated(self, resource: Resource, namespace: str, base: str) -> str:
        name = ""
        for _ in range(GENERATE_ATTEMPTS):
            name = base[:MAX_GENERATED] + random_suffix()
            if self._store.get(resource.storage, namespace, name) is None:
                break
        return name

    def _require_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        found = self._store.get(NAMESPACES, "", namespace)
        if found is None:
            raise not_found("", "namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(resource.group, resource.plural, name, why)
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            error.status["details"]["causes"] = [cause]
            raise error

    def replace(
        self,
        resource: Resource,
        old: JsonObject,
        new: JsonObject,
        actor: Actor | None,
        *,
        dry_run: bool = False,
    ) -> JsonObject:
        """Store `new` in the place of `old`; `actor` None leaves managedFields as they are in `new`.

        Raises:
            ApiError: 400 for another name, 409 for a lost race, 422 for mistakes.
        """
        self._require_same(resource, old, new)
        head, before = new["metadata"], old["metadata"]
        for key in _FIXED:
            head.pop(key, None)
            if key in before:
                head[key] = before[key]
        head["resourceVersion"] = before["resourceVersion"]
        if before.get("namespace"):
            head["namespace"] = before["namespace"]
        set_defaults(resource, new)
        subresource = actor.subresource if actor else ""
        prepare_update(resource, old, new, subresource)
        if actor is not None:
            definition = definition_of(resource)
            record_update(old, new, definition, actor, self._clock.now())
        if subresource != "status":
            problem = refusal(resource, old, new)
            if problem is not None:
                raise problem
        unchanged = without_managed_fields(new) == without_managed_fields(old)
        if unchanged and _same_managers(old, new):
            return old
        if dry_run:
            return new
        if head.get("deletionTimestamp") and not _held(new):
            removed = self._store.remove(resource.storage, namespace_of(new), name_of(new))
            return removed or new
        return self._store.put(resource.storage, new)

    def _require_same(self, resource: Resource, old: JsonObject, new: JsonObject) -> None:
        head, before = new["metadata"], old["metadata"]
        group, plural, name = resource.group, resource.plural, name_of(old)
        if name_of(new) != name:
            raise bad_request(
                f"the name of the object ({name_of(new)}) does not match the name on the URL ({name})"
            )
        if resource.namespaced and namespace_of(new) not in {"", namespace_of(old)}:
            raise bad_request(
                f"the namespace of the object ({namespace_of(new)}) does not match the namespace on "
                f"the request ({namespace_of(old)})"
            )
        if head.get("uid") and uid_of(new) != uid_of(old):
            why = (
                f"Precondition failed: UID in precondition: {uid_of(new)}, UID in object meta: "
                f"{uid_of(old)}"
            )
            raise conflict(group, plural, name, why)
        version = head.get("resourceVersion")
        if version and version != before["resourceVersion"]:
            raise stale(group, plural, name)
        if not version and resource.custom is not None:
            text = "Invalid value: 0: must be specified for an update"
            cause = ("FieldValueInvalid", "metadata.resourceVersion", text)
            raise invalid(group, plural, name, [cause])

    def modify(
        self,
        resource: Resource,
        old: JsonObject,
        change: Callable[[JsonObject], None],
        actor: Actor,
    ) -> JsonObject:
        """Change a copy of `old` in place and store it; for controllers."""
        new: JsonObject = deep_copy(old)
        change(new)
        return self.replace(resource, old, new, actor)

    def resource(self, group_version: str, kind: str) -> Resource:
        """The resource of a built-in kind; LookupError when there is none."""
        found = self._registry.by_kind(group_version, kind)
        if found is None:
            raise LookupError(f"{group_version} {kind} is not served")
        return found


def _no_status(obj: JsonObject) -> JsonObject:
    """A view of the object without status that shares its metadata."""
    return {key: value for key, value in obj.items() if key != "status"}


def _held(obj: JsonObject) -> bool:
    """Whether a deleted object still has finalizers, or its grace period runs."""
    head = obj["metadata"]
    spec_finalizers = (obj.get("spec") or {}).get("finalizers")
    if obj.get("kind") == "Namespace" and spec_finalizers:
        return True
    return bool(head.get("finalizers")) or head.get("deletionGracePeriodSeconds", 0) != 0


def _same_managers(old: JsonObject, new: JsonObject) -> bool:
    def shape(obj: JsonObject) -> list[JsonObject]:
        entries = obj["metadata"].get("managedFields") or []
        return [{key: value for key, value in e.items() if key != "time"} for e in entries]

    return shape(old) == shape(new)
