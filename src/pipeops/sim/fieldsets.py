"""Sets of field paths: what an object holds, who manages it, and the FieldsV1 notation.

A path is a tuple of FieldsV1 steps (`f:name`, `k:{"name":"x"}`, `v:"x"`). A path that stands for
a whole associative item or container carries a final `.`, as FieldsV1 writes it.
"""

import json
from typing import Any

from pipeops.sim.objects import JsonObject
from pipeops.sim.schema.model import Definition, Field, Type, resolve

Path = tuple[str, ...]
Values = dict[Path, Any]
"""Path to the value there: leaves and atomic parts, and None for the `.` of a container."""


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def item_step(item: Any, known: Field) -> str | None:
    """The step of one item of an associative list or set; None when it has no key."""
    if known.list_type == "set":
        return f"v:{_compact(item)}"
    if not isinstance(item, dict):
        return None
    element = resolve(known.type.element) if known.type.element else None
    keys = {}
    for key in known.keys:
        value = item.get(key)
        if value is None and isinstance(element, Definition) and key in element.fields:
            value = element.fields[key].default
        if value is not None:
            keys[key] = value
    return f"k:{_compact(keys)}" if keys else None


def values(obj: JsonObject, definition: Definition) -> Values:
    """Every managed path of an object. Identity and bookkeeping of metadata are left out."""
    found: Values = {}
    _struct(obj, definition, (), found)
    skip = {"f:apiVersion", "f:kind"}
    hidden = {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
    }
    return {
        path: value
        for path, value in found.items()
        if path and path[0] not in skip and path[:2] not in hidden and path != ("f:metadata",)
    }


def _struct(value: JsonObject, definition: Definition, path: Path, found: Values) -> None:
    for name, item in value.items():
        known = definition.fields.get(name) or Field(name, Type("any"), dotted=True)
        _field(item, known, (*path, f"f:{name}"), found)


def _field(value: Any, known: Field, path: Path, found: Values) -> None:
    shape = resolve(known.type)
    if _is_leaf(value, known, shape):
        found[path] = value
        return
    if known.dotted:
        found[(*path, ".")] = None
    if isinstance(shape, Definition):
        _struct(value, shape, path, found)
    elif shape.form == "list":
        _items(value, known, path, found)
    else:
        element = shape.element or Type("any")
        for name, item in value.items():
            _field(item, Field(name, element, dotted=known.dotted), (*path, f"f:{name}"), found)


def _is_leaf(value: Any, known: Field, shape: Type | Definition) -> bool:
    if not value or not isinstance(value, dict | list) or known.map_type == "atomic":
        return True
    if isinstance(shape, Definition):
        return shape.atomic or not isinstance(value, dict)
    if shape.form == "list":
        return known.atomic or not isinstance(value, list)
    return shape.name == "object" or not isinstance(value, dict)


def _items(value: list[Any], known: Field, path: Path, found: Values) -> None:
    shape = resolve(known.type.element or Type("any"))
    for item in value:
        step = item_step(item, known)
        if step is None:
            continue
        whole = step.startswith("v:") or not isinstance(shape, Definition) or shape.atomic
        if whole:
            found[(*path, step)] = item
            continue
        found[(*path, step, ".")] = None
        if isinstance(shape, Definition) and isinstance(item, dict):
            _struct(item, shape, (*path, step), found)


def owned(found: Values) -> frozenset[Path]:
    """What an applier owns of these paths: containers other than list items stay unowned."""
    return frozenset(
        path
        for path, value in found.items()
        if value != [] and (path[-1] != "." or path[-2].startswith("k:") or len(path) < 2)
    )


def to_fields_v1(paths: frozenset[Path]) -> JsonObject:
    """The nested FieldsV1 object of a set of paths."""
    tree: JsonObject = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    return tree


def from_fields_v1(tree: JsonObject, prefix: Path = ()) -> frozenset[Path]:
    """The set of paths of a FieldsV1 object."""
    found: set[Path] = set()
    for step, below in tree.items():
        path = (*prefix, step)
        if below:
            found |= from_fields_v1(below, path)
        else:
            found.add(path)
    return frozenset(found)


def readable(path: Path) -> str:
    """A path as conflicts name it: `.spec.containers[name="app"].image`."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        match kind:
            case "f":
                text += f".{rest}"
            case "k":
                pairs = json.loads(rest).items()
                text += "[" + ",".join(f"{key}={_compact(value)}" for key, value in pairs) + "]"
            case "v":
                text += f"[={rest}]"
            case _:
                pass
    return text
