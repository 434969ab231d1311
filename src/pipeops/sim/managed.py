"""Who manages which fields: the bookkeeping of `metadata.managedFields` for updates and applies."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pipeops.sim.errors import ApiError
from pipeops.sim.fieldsets import (
    Path,
    from_fields_v1,
    owned,
    readable,
    to_fields_v1,
    values,
)
from pipeops.sim.objects import JsonObject, deep_copy, parse_timestamp, timestamp
from pipeops.sim.schema.model import Definition

MAX_UPDATERS = 10
_STATUS = "f:status"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who writes: the manager's name, the API version and subresource it writes through."""

    manager: str
    version: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of managedFields."""

    actor: Actor
    operation: str
    time: str
    paths: frozenset[Path]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes two entries the same manager's; appliers are one across versions."""
        version = "" if self.operation == "Apply" else self.actor.version
        return self.operation, self.actor.manager, version, self.actor.subresource

    def describe(self) -> str:
        """The manager as conflicts name it."""
        text = f'"{self.actor.manager}"'
        if self.actor.subresource:
            text += f' with subresource "{self.actor.subresource}"'
        return f"{text} using {self.actor.version}" if self.operation == "Update" else text


def entries_of(obj: JsonObject) -> list[Entry]:
    """The managedFields of an object; malformed entries are left out."""
    found = []
    for item in (obj.get("metadata") or {}).get("managedFields") or ():
        tree = item.get("fieldsV1")
        if not isinstance(tree, dict):
            continue
        actor = Actor(
            item.get("manager", ""), item.get("apiVersion", ""), item.get("subresource", "")
        )
        paths = from_fields_v1(tree)
        found.append(Entry(actor, item.get("operation", ""), item.get("time", ""), paths))
    return found


def _written(entry: Entry) -> JsonObject:
    found: JsonObject = {
        "apiVersion": entry.actor.version,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(entry.paths),
        "manager": entry.actor.manager,
        "operation": entry.operation,
    }
    if entry.actor.subresource:
        found["subresource"] = entry.actor.subresource
    if entry.time:
        found["time"] = entry.time
    return found


def _order(entry: Entry) -> tuple[str, int, str, str, str]:
    seconds = int(parse_timestamp(entry.time)) if entry.time else 0
    actor = entry.actor
    return entry.operation, seconds, actor.manager, actor.version, actor.subresource


def store_entries(obj: JsonObject, entries: Iterable[Entry]) -> None:
    """Put the entries that own something into the object, in the API server's order."""
    kept = sorted((entry for entry in entries if entry.paths), key=_order)
    if kept:
        obj["metadata"]["managedFields"] = [_written(entry) for entry in kept]
    else:
        obj["metadata"].pop("managedFields", None)


def record_update(
    old: JsonObject | None, new: JsonObject, definition: Definition, actor: Actor, now: float
) -> None:
    """Enter a write by anything but apply: `actor` owns what it added or changed."""
    given = new["metadata"].get("managedFields")
    reset = given is not None and not any(given)
    entries = [] if reset else entries_of(new if given else old or {})
    before = values(old, definition) if old else {}
    after = values(new, definition)
    absent = object()
    changed = {path for path, value in after.items() if before.get(path, absent) != value}
    mine = frozenset(
        path
        for path in changed
        if _counts(path, actor) and not (path[-1] == "f:metadata" and after[path] == {})
    )
    lost = changed | (before.keys() - after.keys())
    probe = Entry(actor, "Update", timestamp(now), mine)
    kept: list[Entry] = []
    previous: Entry | None = None
    for entry in entries:
        if entry.key == probe.key:
            previous = entry
        else:
            kept.append(replace(entry, paths=entry.paths - lost))
    gone = before.keys() - after.keys()
    if previous is not None:
        paths = (previous.paths - gone) | mine
        time = previous.time if paths == previous.paths and not mine else probe.time
        kept.append(replace(previous, paths=paths, time=time))
    else:
        kept.append(probe)
    store_entries(new, kept)


def _counts(path: Path, actor: Actor) -> bool:
    # A write through the main resource cannot touch status, and the other way round.
    if path[0] == _STATUS:
        return actor.subresource in {"status", "*"}
    return actor.subresource != "status" or path[0] != "f:spec"


def apply_conflicts(
    live: JsonObject,
    merged: JsonObject,
    config: JsonObject,
    definition: Definition,
    actor: Actor,
) -> list[tuple[Entry, Path]]:
    """Fields that the configuration would change and other managers own."""
    before, after = values(live, definition), values(merged, definition)
    wanted = owned(values(config, definition))
    absent = object()
    changed = {path for path in wanted if before.get(path, absent) != after.get(path, absent)}
    mine = Entry(actor, "Apply", "", frozenset()).key
    return [
        (entry, path)
        for entry in entries_of(live)
        if entry.key != mine
        for path in sorted(entry.paths & changed)
    ]


def conflict_error(conflicts: list[tuple[Entry, Path]]) -> ApiError:
    """409 that names every field and its manager."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {entry.describe()}",
            "field": readable(path),
        }
        for entry, path in conflicts
    ]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = []
        for name in sorted({entry.describe() for entry, _ in conflicts}):
            lines.append(f"conflicts with {name}:")
            lines += [
                f"- {readable(path)}" for entry, path in conflicts if entry.describe() == name
            ]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", text, {"causes": causes})


def record_apply(
    live: JsonObject | None,
    merged: JsonObject,
    config: JsonObject,
    definition: Definition,
    actor: Actor,
    now: float,
) -> None:
    """Enter an apply: `actor` owns exactly what its configuration names."""
    paths = frozenset(path for path in owned(values(config, definition)) if _counts(path, actor))
    before = values(live, definition) if live else {}
    after = values(merged, definition)
    absent = object()
    changed = {path for path in paths if before.get(path, absent) != after.get(path, absent)}
    lost = changed | (before.keys() - after.keys())
    mine = Entry(actor, "Apply", timestamp(now), paths)
    kept = []
    for entry in entries_of(live or {}):
        if entry.key != mine.key:
            kept.append(replace(entry, paths=entry.paths - lost))
        elif entry.paths == paths and entry.actor == actor:
            mine = replace(mine, time=entry.time)
    store_entries(merged, [*kept, mine])


def applied_before(live: JsonObject, actor: Actor) -> frozenset[Path]:
    """What the same applier's previous configuration named."""
    key = Entry(actor, "Apply", "", frozenset()).key
    return next((e.paths for e in entries_of(live) if e.key == key), frozenset())


def owned_by_others(live: JsonObject, actor: Actor) -> frozenset[Path]:
    """Every path that somebody else manages."""
    key = Entry(actor, "Apply", "", frozenset()).key
    found: set[Path] = set()
    for entry in entries_of(live):
        if entry.key != key:
            found |= entry.paths
    return frozenset(found)


def without_managed_fields(obj: JsonObject) -> Any:
    """A copy to compare what was really changed."""
    shown = deep_copy(obj)
    shown["metadata"].pop("managedFields", None)
    return shown
