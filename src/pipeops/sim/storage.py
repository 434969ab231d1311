"""The object store: one version counter, optimistic writes, bounded change history."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeops.sim.errors import expired
from pipeops.sim.kinds import GroupResource
from pipeops.sim.objects import JsonObject, name_of, namespace_of

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]
Key = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped objects."""


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. Objects are shared and must not be changed by whoever reads them."""

    kind: ChangeKind
    version: int
    object: JsonObject
    previous: JsonObject | None


class ChangeLog:
    """The latest changes of one resource, and the watches that wait for the next one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: list[Change] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self.dropped_through = 0

    def append(self, change: Change) -> None:
        """Remember a change and wake every waiting watch."""
        self._changes.append(change)
        if len(self._changes) > 2 * self._limit:  # in bulk, so that one append stays cheap
            self.drop(self._limit)
        self.wake()

    def wake(self) -> None:
        """Let every waiter look again."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def drop(self, keep: int) -> None:
        """Forget all but the latest `keep` changes."""
        cut = len(self._changes) - keep
        if cut > 0:
            self.dropped_through = self._changes[cut - 1].version
            del self._changes[:cut]

    def after(self, version: int) -> list[Change]:
        """Every change later than `version`, oldest first; 410 when some are forgotten."""
        if version < self.dropped_through:
            raise expired(f"too old resource version: {version} ({self.dropped_through})")
        if not self._changes or self._changes[-1].version <= version:
            return []
        start = bisect_right(self._changes, version, key=lambda change: change.version)
        return self._changes[start:]

    async def wait(self) -> None:
        """Return after the next change (or `wake`). Cancelling it leaves nothing behind."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Store:
    """All objects. Calls never await, so each of them is atomic.

    `listeners` are called synchronously after every commit; they must only take notes.
    """

    def __init__(self, *, history: int = 4096, first_version: int = 1000) -> None:
        self.version = first_version
        self._history = history
        self._objects: dict[GroupResource, dict[Key, JsonObject]] = {}
        self._logs: dict[GroupResource, ChangeLog] = {}
        self.listeners: list[Callable[[GroupResource, Change], None]] = []

    def log(self, place: GroupResource) -> ChangeLog:
        """The change log of one resource."""
        found = self._logs.get(place)
        if found is None:
            found = self._logs[place] = ChangeLog(self._history)
        return found

    def get(self, place: GroupResource, namespace: str, name: str) -> JsonObject | None:
        """The stored object itself (read only), or None."""
        return self._objects.get(place, {}).get((namespace, name))

    def objects(self, place: GroupResource, namespace: str = "") -> list[JsonObject]:
        """The stored objects (read only), by namespace and name; all namespaces when empty."""
        found = self._objects.get(place, {})
        keys = sorted(key for key in found if not namespace or key[0] == namespace)
        return [found[key] for key in keys]

    def places(self) -> list[GroupResource]:
        """Every resource that has, or had, objects."""
        return list(self._objects)

    def put(self, place: GroupResource, obj: JsonObject) -> JsonObject:
        """Commit `obj` (which the store owns from now on) under a new version."""
        key = (namespace_of(obj), name_of(obj))
        held = self._objects.setdefault(place, {})
        previous = held.get(key)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        held[key] = obj
        kind: ChangeKind = "ADDED" if previous is None else "MODIFIED"
        self._commit(place, Change(kind, self.version, obj, previous))
        return obj

    def remove(self, place: GroupResource, namespace: str, name: str) -> JsonObject | None:
        """Commit a deletion; returns the object's last state under the deletion's version."""
        previous = self._objects.get(place, {}).pop((namespace, name), None)
        if previous is None:
            return None
        self.version += 1
        last = {**previous, "metadata": {**previous["metadata"]}}
        last["metadata"]["resourceVersion"] = str(self.version)
        self._commit(place, Change("DELETED", self.version, last, previous))
        return last

    def snapshot(self, place: GroupResource, version: int) -> dict[Key, JsonObject]:
        """The objects as they were at `version`, by undoing later changes; 410 when too old."""
        held = dict(self._objects.get(place, {}))
        for change in reversed(self.log(place).after(version)):
            key = (namespace_of(change.object), name_of(change.object))
            if change.previous is None:
                held.pop(key, None)
            else:
                held[key] = change.previous
        return held

    def compact(self) -> None:
        """Forget all history, as etcd's compaction does: older watches and pages get 410."""
        for log in self._logs.values():
            log.drop(0)
            log.dropped_through = self.version

    def _commit(self, place: GroupResource, change: Change) -> None:
        self.log(place).append(change)
        for listener in self.listeners:
            listener(place, change)
