"""Field ownership: managedFields of every write, and server-side apply with its conflicts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pipeops.sim.errors import ApiError
from pipeops.sim.fieldsets import (
    Path,
    Values,
    from_fields_v1,
    item_step,
    owned,
    readable,
    to_fields_v1,
    values,
)
from pipeops.sim.objects import JsonObject, deep_copy
from pipeops.sim.schema.model import Definition, Field, Type, resolve

MAX_UPDATE_MANAGERS = 10
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the field manager's name, through which API version and subresource, when."""

    manager: str
    api_version: str
    time: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of metadata.managedFields."""

    manager: str
    operation: str
    api_version: str
    time: str
    subresource: str
    paths: frozenset[Path]

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two writes the same manager: appliers keep theirs across API versions."""
        version = "" if self.operation == "Apply" else self.api_version
        return self.manager, self.operation, version, self.subresource

    @property
    def title(self) -> str:
        """The manager as conflicts name it."""
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


def read_entries(obj: JsonObject | None) -> list[Entry]:
    """The managers of a stored object."""
    listed = ((obj or {}).get("metadata") or {}).get("managedFields") or []
    return [
        Entry(
            item.get("manager", ""),
            item.get("operation", "Update"),
            item.get("apiVersion", ""),
            item.get("time", ""),
            item.get("subresource", ""),
            from_fields_v1(item.get("fieldsV1") or {}),
        )
        for item in listed
    ]


def write_entries(obj: JsonObject, entries: Iterable[Entry]) -> None:
    """Put managers into metadata.managedFields, appliers first as the API server sorts them."""
    kept = [entry for entry in entries if entry.paths]
    kept.sort(key=lambda e: (e.operation != "Apply", e.time, e.manager, e.subresource))
    listed = []
    for entry in kept:
        item: JsonObject = {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(entry.paths),
        }
        if entry.subresource:
            item["subresource"] = entry.subresource
        listed.append(item)
    if listed:
        obj["metadata"]["managedFields"] = listed
    else:
        obj["metadata"].pop("managedFields", None)


def changed_paths(old: Values, new: Values) -> tuple[frozenset[Path], frozenset[Path]]:
    """Paths that are new or differ, and paths that are gone."""
    changed = frozenset(path for path, value in new.items() if old.get(path, _ABSENT) != value)
    return changed, frozenset(old.keys() - new.keys())


def track_update(
    old: JsonObject | None, new: JsonObject, definition: Definition, writer: Writer
) -> None:
    """After a create, update or patch: `writer` now manages whatever it changed."""
    if old is not None and (new.get("metadata") or {}).get("managedFields") == []:
        new["metadata"].pop("managedFields")  # the documented way to reset ownership
        return
    entries = read_entries(new if old is None else old)
    before = values(old, definition) if old else {}
    changed, removed = changed_paths(before, values(new, definition))
    if not changed and not removed:
        write_entries(new, entries)
        return
    mine = Entry(
        writer.manager, "Update", writer.api_version, writer.time, writer.subresource, changed
    )
    kept = []
    for entry in entries:
        if entry.identity == mine.identity:
            paths = (entry.paths | changed) - removed
            time = writer.time if paths != entry.paths else entry.time
            mine = replace(mine, paths=paths, time=time)
        else:
            left = entry.paths - changed - removed
            kept.append(entry if left == entry.paths else replace(entry, paths=left))
    write_entries(new, _folded([*kept, mine]))


def _folded(entries: list[Entry]) -> list[Entry]:
    """Old updaters beyond the limit become one `ancient-changes`, so that entries stay bounded."""
    updates = sorted((e for e in entries if e.operation == "Update"), key=lambda e: e.time)
    surplus = updates[: max(0, len(updates) - MAX_UPDATE_MANAGERS)]
    if not surplus:
        return entries
    merged = frozenset[Path]().union(*(entry.paths for entry in surplus))
    ancient = replace(surplus[-1], manager="ancient-changes", subresource="", paths=merged)
    return [*(entry for entry in entries if entry not in surplus), ancient]


def conflict_error(conflicts: list[tuple[Entry, Path]]) -> ApiError:
    """409 that names every manager and field in the way."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {entry.title}",
            "field": readable(path),
        }
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        entry, path = conflicts[0]
        what = f"Apply failed with 1 conflict: conflict with {entry.title}: {readable(path)}"
        return ApiError(409, "Conflict", what, {"causes": causes})
    lines = []
    for title in sorted({entry.title for entry, _ in conflicts}):
        lines.append(f"conflicts with {title}:")
        lines += [f"- {readable(path)}" for entry, path in conflicts if entry.title == title]
    message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})


def apply_patch(
    live: JsonObject | None,
    patch: JsonObject,
    definition: Definition,
    writer: Writer,
    *,
    force: bool,
) -> JsonObject:
    """Server-side apply. Returns the new object; 409 on conflicts unless forced.

    `patch` is already decoded by schema and carries no managedFields.
    """
    entries = read_entries(live)
    mine = Entry(
        writer.manager, "Apply", writer.api_version, writer.time, writer.subresource, frozenset()
    )
    last = next((entry for entry in entries if entry.identity == mine.identity), None)
    others = [entry for entry in entries if entry is not last]
    wanted = owned(values(patch, definition))
    merged = merge(live, patch, definition) if live is not None else deep_copy(patch)
    if last is not None:
        taken = frozenset[Path]().union(*(entry.paths for entry in others))
        _remove(merged, last.paths - wanted - taken, definition, wanted | taken)
    before = values(live, definition) if live else {}
    changed, _ = changed_paths(before, values(merged, definition))
    conflicts = [
        (entry, path)
        for entry in others
        for path in sorted(entry.paths & changed & wanted)
        if path[-1] != "."
    ]
    if conflicts and not force:
        raise conflict_error(conflicts)
    contested = {path for _, path in conflicts}
    others = [replace(entry, paths=entry.paths - contested) for entry in others]
    time = writer.time
    if last is not None and last.paths == wanted and not changed:
        time = last.time
    mine = replace(mine, paths=wanted, time=time)
    write_entries(merged, [*others, mine])
    return merged


def merge(live: JsonObject, patch: JsonObject, definition: Definition) -> JsonObject:
    """The applied configuration laid over the live object, list items matched by key."""
    result = deep_copy(live)
    _lay_over(result, patch, definition)
    return dict(result)


def _lay_over(target: JsonObject, patch: JsonObject, definition: Definition | None) -> None:
    for name, value in patch.items():
        known = definition.fields.get(name) if definition else None
        target[name] = _over(target.get(name), value, known or Field(name, Type("any")))


def _over(current: Any, value: Any, known: Field) -> Any:
    shape = resolve(known.type)
    if isinstance(value, dict) and isinstance(current, dict) and not known.atomic:
        if isinstance(shape, Definition):
            if shape.atomic:
                return deep_copy(value)
            _lay_over(current, value, shape)
            return current
        if shape.form == "map":
            element = Field("", shape.element or Type("any"))
            for key, item in value.items():
                current[key] = _over(current.get(key), item, element)
            return current
        if shape.form == "any" and shape.name != "object":
            _lay_over(current, value, None)
            return current
    if isinstance(value, list) and isinstance(current, list) and not known.atomic:
        return _over_items(current, value, known)
    return deep_copy(value)


def _over_items(current: list[Any], value: list[Any], known: Field) -> list[Any]:
    steps = [item_step(item, known) for item in current]
    result = list(current)
    element = resolve(known.type.element) if known.type.element else None
    for item in value:
        step = item_step(item, known)
        if step is None or step not in steps:
            result.append(deep_copy(item))
            steps.append(step)
            continue
        place = steps.index(step)
        if isinstance(element, Definition) and isinstance(item, dict):
            _lay_over(result[place], item, element)
    return result


def _remove(
    obj: JsonObject, paths: frozenset[Path], definition: Definition, kept: frozenset[Path]
) -> None:
    """Take out what its only owner no longer applies; deepest first, never above a kept path."""
    for path in sorted(paths, key=len, reverse=True):
        steps = path[:-1] if path[-1] == "." else path
        if path[-1] == "." and any(other[: len(steps)] == steps for other in kept):
            continue
        _remove_one(obj, steps, definition)


def _remove_one(obj: Any, steps: Path, definition: Definition) -> None:
    trail: list[tuple[Any, Any]] = []
    current: Any = obj
    known = Field("", Type("struct", inline=definition))
    for step in steps:
        shape = resolve(known.type)
        kind, _, name = step.partition(":")
        if kind == "f" and isinstance(current, dict) and name in current:
            trail.append((current, name))
            current = current[name]
            if isinstance(shape, Definition):
                known = shape.fields.get(name) or Field(name, Type("any"))
            else:
                known = Field(name, getattr(shape, "element", None) or Type("any"))
        elif kind in {"k", "v"} and isinstance(current, list):
            place = next((i for i, x in enumerate(current) if item_step(x, known) == step), None)
            if place is None:
                return
            trail.append((current, place))
            current = current[place]
            known = Field("", known.type.element or Type("any"))
        else:
            return
    if not trail:
        return
    parent, key = trail.pop()
    del parent[key]
    # A map or list that became empty is what `omitempty` would not write.
    while trail and not parent and isinstance(trail[-1][0][trail[-1][1]], list | dict):
        holder, place = trail.pop()
        if isinstance(holder, list) or place in {"metadata", "spec", "status"}:
            return
        del holder[place]
        parent = holder
