"""What every controller works with: the store, writes in its name, events."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from pipeops.sim.clock import Clock
from pipeops.sim.commits import Writer
from pipeops.sim.deleting import Deleter
from pipeops.sim.errors import ApiError
from pipeops.sim.kinds import GroupResource, Registry, Resource
from pipeops.sim.managed import Actor
from pipeops.sim.objects import (
    JsonObject,
    controller_of,
    deep_copy,
    name_of,
    namespace_of,
    timestamp,
    uid_of,
)
from pipeops.sim.options import DeleteOptions
from pipeops.sim.storage import Store
from pipeops.sim.strategy import random_suffix

MANAGER = "kube-controller-manager"
PODS = GroupResource("", "pods")
NODES = GroupResource("", "nodes")
SERVICES = GroupResource("", "services")
NAMESPACES = GroupResource("", "namespaces")
EVENTS = GroupResource("", "events")
REPLICA_SETS = GroupResource("apps", "replicasets")
DEPLOYMENTS = GroupResource("apps", "deployments")
MAX_EVENTS = 5000
"""Oldest ones go first; a real cluster forgets them after an hour."""


@dataclass(frozen=True, slots=True)
class Key:
    """An object to look at: which resource, where."""

    place: GroupResource
    namespace: str
    name: str


class Context:
    """Shared by all controllers of one cluster."""

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, writer: Writer, deleter: Deleter
    ) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock
        self.writer = writer
        self.deleter = deleter

    def now_text(self) -> str:
        """The time as objects carry it."""
        return timestamp(self.clock.now())

    def resource(self, place: GroupResource) -> Resource:
        """The resource stored at `place`; LookupError when it is not served."""
        found = self.registry.by_storage(place)
        if found is None:
            raise LookupError(f"{place.plural}.{place.group} is not served")
        return found

    def create(
        self, place: GroupResource, namespace: str, obj: JsonObject, manager: str = MANAGER
    ) -> JsonObject | None:
        """Create an object; None where the server refuses (the next look tries again)."""
        resource = self.resource(place)
        full = {"kind": resource.kind, "apiVersion": resource.group_version, **obj}
        try:
            return self.writer.create(
                resource, namespace, full, Actor(manager, resource.group_version)
            )
        except ApiError:
            return None

    def modify(
        self,
        place: GroupResource,
        obj: JsonObject,
        change: Callable[[JsonObject], None],
        *,
        subresource: str = "",
        manager: str = MANAGER,
    ) -> JsonObject:
        """Store a changed copy of `obj`."""
        resource = self.resource(place)
        actor = Actor(manager, resource.group_version, subresource)
        return self.writer.modify(resource, obj, change, actor)

    def set_status(
        self, place: GroupResource, obj: JsonObject, status: JsonObject, manager: str = MANAGER
    ) -> JsonObject:
        """Store a new status unless it is the old one."""
        if obj.get("status") == status:
            return obj

        def change(new: JsonObject) -> None:
            new["status"] = deep_copy(status)

        return self.modify(place, obj, change, subresource="status", manager=manager)

    def delete(
        self, place: GroupResource, obj: JsonObject, options: DeleteOptions | None = None
    ) -> None:
        """Delete an object if it is still there."""
        found = self.store.get(place, namespace_of(obj), name_of(obj))
        if found is not None and uid_of(found) == uid_of(obj):
            self.deleter.delete(self.resource(place), found, options)

    def owned(self, place: GroupResource, owner: JsonObject) -> list[JsonObject]:
        """The objects that `owner` controls."""
        uid = uid_of(owner)
        return [
            obj
            for obj in self.store.objects(place, namespace_of(owner))
            if (controller_of(obj) or {}).get("uid") == uid
        ]

    def event(
        self,
        about: JsonObject,
        reason: str,
        message: str,
        *,
        component: str,
        host: str = "",
        kind: str = "Normal",
    ) -> None:
        """Tell people what happened to an object."""
        moment = self.now_text()
        reference = {
            "kind": about["kind"],
            "apiVersion": about["apiVersion"],
            "name": name_of(about),
            "uid": uid_of(about),
            "resourceVersion": about["metadata"].get("resourceVersion", ""),
        }
        namespace = namespace_of(about) or "default"
        if namespace_of(about):
            reference["namespace"] = namespace
        source = {"component": component, **({"host": host} if host else {})}
        self._forget_old_events()
        self.store.put(
            EVENTS,
            {
                "kind": "Event",
                "apiVersion": "v1",
                "metadata": {
                    "name": f"{name_of(about)}.{random_suffix(16)}",
                    "namespace": namespace,
                    "uid": str(uuid4()),
                    "creationTimestamp": moment,
                },
                "involvedObject": reference,
                "reason": reason,
                "message": message,
                "source": source,
                "firstTimestamp": moment,
                "lastTimestamp": moment,
                "count": 1,
                "type": kind,
                "eventTime": None,
                "reportingComponent": component,
                "reportingInstance": host,
            },
        )

    def _forget_old_events(self) -> None:
        held = self.store.objects(EVENTS)
        if len(held) < MAX_EVENTS:
            return
        held.sort(key=lambda event: str(event["metadata"]["creationTimestamp"]))
        for event in held[: MAX_EVENTS // 10]:
            self.store.remove(EVENTS, namespace_of(event), name_of(event))
