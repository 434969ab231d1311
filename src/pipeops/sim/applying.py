"""Server-side apply: merges a configuration into the live object and drops what it no longer names."""

import json
from typing import Any

from pipeops.sim.fieldsets import Path, item_step, owned, values
from pipeops.sim.managed import (
    Actor,
    applied_before,
    apply_conflicts,
    conflict_error,
    owned_by_others,
    record_apply,
)
from pipeops.sim.objects import JsonObject, deep_copy
from pipeops.sim.schema.model import Definition, Field, Type, resolve


def apply_configuration(
    live: JsonObject | None,
    config: JsonObject,
    definition: Definition,
    actor: Actor,
    *,
    force: bool,
    now: float,
) -> JsonObject:
    """The object after the apply, with managedFields.

    Raises:
        ApiError: 409 when other managers own fields that would change and `force` is off.
    """
    merged: JsonObject = _merge_struct(live or {}, config, definition)
    merged["metadata"].pop("managedFields", None)
    if live is not None:
        conflicts = apply_conflicts(live, merged, config, definition, actor)
        if conflicts and not force:
            raise conflict_error(conflicts)
        _prune(merged, live, config, definition, actor)
    record_apply(live, merged, config, definition, actor, now)
    return merged


def _prune(
    merged: JsonObject,
    live: JsonObject,
    config: JsonObject,
    definition: Definition,
    actor: Actor,
) -> None:
    wanted = owned(values(config, definition))
    others = owned_by_others(live, actor)
    dropped = applied_before(live, actor) - wanted - others
    for path in sorted(dropped, key=lambda path: (len(path), path[-1] != ".")):
        if path[-1] == ".":
            inside = path[:-1]
            if any(kept[: len(inside)] == inside for kept in others | wanted):
                continue
            _remove(merged, inside)
        else:
            _remove(merged, path)


def _remove(obj: Any, path: Path) -> None:
    current: Any = obj
    parents: list[tuple[Any, Any]] = []
    for step in path:
        key = _position(current, step)
        if key is None:
            return
        parents.append((current, key))
        current = current[key]
    holder, key = parents[-1]
    del holder[key]
    for above, inside in reversed(parents[:-1]):  # containers that became empty go as well
        if above[inside] or not isinstance(above[inside], list | dict) or above is obj:
            return
        del above[inside]


def _position(current: Any, step: str) -> Any:
    kind, _, rest = step.partition(":")
    if kind == "f":
        return rest if isinstance(current, dict) and rest in current else None
    if not isinstance(current, list):
        return None
    wanted = json.loads(rest)
    for index, item in enumerate(current):
        if kind == "v" and item == wanted:
            return index
        if kind == "k" and isinstance(item, dict) and _has_keys(item, wanted):
            return index
    return None


def _has_keys(item: JsonObject, wanted: JsonObject) -> bool:
    return all(item.get(key) == value for key, value in wanted.items())


def _merge_struct(live: JsonObject, config: JsonObject, definition: Definition) -> JsonObject:
    result = dict(live)
    for name, value in config.items():
        known = definition.fields.get(name) or Field(name, Type("any"))
        result[name] = _merge(live.get(name), value, known)
    return result


def _merge(live: Any, config: Any, known: Field) -> Any:
    shape = resolve(known.type)
    if known.map_type == "atomic" or not isinstance(live, type(config)):
        return deep_copy(config)
    if isinstance(config, dict):
        if isinstance(shape, Definition):
            return deep_copy(config) if shape.atomic else _merge_struct(live, config, shape)
        if shape.name == "object":
            return deep_copy(config)
        element = Field("", shape.element or Type("any"))
        return {
            **live,
            **{key: _merge(live.get(key), item, element) for key, item in config.items()},
        }
    if isinstance(config, list) and not known.atomic:
        return _merge_items(live, config, known)
    return deep_copy(config)


def _merge_items(live: list[Any], config: list[Any], known: Field) -> list[Any]:
    element = resolve(known.type.element or Type("any"))
    held = {item_step(item, known): item for item in live}
    wanted = {item_step(item, known): item for item in config}
    merged = {}
    for step, item in wanted.items():
        current = held.get(step)
        mergeable = isinstance(element, Definition) and not element.atomic
        if mergeable and isinstance(current, dict) and isinstance(element, Definition):
            merged[step] = _merge_struct(current, item, element)
        else:
            merged[step] = deep_copy(item)
    # Items of the configuration come in its order; those only the server has keep their place.
    supply = iter(wanted)
    result = [
        merged[next(supply)] if step in wanted else deep_copy(item) for step, item in held.items()
    ]
    return [*result, *(merged[step] for step in supply)]
