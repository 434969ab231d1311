"""`meta.k8s.io` Table documents of objects and lists."""

from collections.abc import Iterable
from typing import Any

from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject, dig, name_of
from pipeops.sim.tables.rows import ROWS, Row
from pipeops.sim.tables.text import age, since

_HINTS = {
    "Name": "Unique name of the object among its kind and namespace.",
    "Age": "How long ago the object was created.",
    "Created At": "When the object was created.",
}


def _column(name: str, kind: str = "string", priority: int = 0) -> JsonObject:
    return {
        "name": name,
        "type": kind,
        "format": "name" if name == "Name" else "",
        "description": _HINTS.get(name, ""),
        "priority": priority,
    }


def _builtin_columns(text: str) -> list[JsonObject]:
    found = []
    for word in text.split():
        name, _, kind = word.partition(":")
        wide = name.endswith("+")
        title = name.rstrip("+").replace("_", " ")
        found.append(_column(title, kind or "string", int(wide)))
    return found


def _custom_columns(resource: Resource) -> list[JsonObject]:
    listed = (resource.custom or {}).get("additionalPrinterColumns") or []
    columns = [_column("Name")]
    for column in listed:
        made = _column(column["name"], column.get("type", "string"), column.get("priority", 0))
        made["format"] = column.get("format", "")
        made["description"] = column.get("description", "")
        columns.append(made)
    return columns if listed else [*columns, _column("Age", "date")]


def json_path(obj: Any, path: str) -> Any:
    """The subset of JSONPath that printer columns use: names, indexes and `?(@.type=="X")`."""
    current: Any = obj
    rest = path
    while rest:
        if rest.startswith("["):
            inner, _, rest = rest[1:].partition("]")
            current = _index(current, inner)
        else:
            rest = rest.lstrip(".")
            cut = next((i for i, c in enumerate(rest) if c in ".["), len(rest))
            key = rest[:cut].replace("\0", ".")
            rest = rest[cut:]
            current = current.get(key) if isinstance(current, dict) else None
        if current is None:
            return None
    return current


def _index(current: Any, inner: str) -> Any:
    if isinstance(current, dict):
        return current.get(inner.strip("'\""))
    if not isinstance(current, list):
        return None
    if inner.startswith("?("):
        left, _, right = inner[2:].rstrip(")").partition("==")
        wanted = right.strip().strip("'\"")
        key = left.strip().removeprefix("@.")
        return next((item for item in current if str(item.get(key)) == wanted), None)
    if inner == "*":
        return current
    index = int(inner) if inner.lstrip("-").isdigit() else 0
    return current[index] if -len(current) <= index < len(current) else None


def _custom_row(columns: list[JsonObject], resource: Resource) -> Row:
    listed = (resource.custom or {}).get("additionalPrinterColumns") or []

    def row(obj: JsonObject, now: float) -> list[Any]:
        if not listed:
            return [name_of(obj), age(obj, now)]
        cells: list[Any] = [name_of(obj)]
        for column in listed:
            path = column.get("jsonPath", "").replace("\\.", "\0")
            value = json_path(obj, path)
            if column.get("type") == "date":
                value = since(value, now)
            elif isinstance(value, list):
                value = ",".join(map(str, value))
            elif column.get("type") == "string" and value is not None:
                value = str(value)
            cells.append(value)
        return cells

    del columns
    return row


def _default_row(obj: JsonObject, now: float) -> list[Any]:
    del now
    return [name_of(obj), dig(obj, "metadata", "creationTimestamp")]


def layout(resource: Resource) -> tuple[list[JsonObject], Row]:
    """The columns of a resource and the function that fills them."""
    if resource.custom is not None:
        columns = _custom_columns(resource)
        return columns, _custom_row(columns, resource)
    found = ROWS.get((resource.group, resource.plural))
    if found is None:
        return [_column("Name"), _column("Created At", "date")], _default_row
    return _builtin_columns(found[0]), found[1]


def as_table(
    resource: Resource,
    items: Iterable[JsonObject],
    list_metadata: JsonObject,
    *,
    now: float,
    version: str = "v1",
    include: str = "",
    headers: bool = True,
) -> JsonObject:
    """A Table of `items`.

    `include` is the includeObject parameter: None, Metadata (the default) or Object. A watch sends
    the column definitions only with its first event.
    """
    columns, cells = layout(resource)
    rows = []
    for item in items:
        row: JsonObject = {"cells": cells(item, now)}
        if resource.plural == "pods" and not resource.group:
            phase = dig(item, "status", "phase")
            if phase in {"Succeeded", "Failed"}:
                message = "The pod has completed successfully."
                if phase == "Failed":
                    message = "The pod failed."
                mark = {"type": "Completed", "status": "True", "reason": phase, "message": message}
                row["conditions"] = [mark]
        row["object"] = _embedded(item, include, version)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_metadata,
        "columnDefinitions": columns if headers else None,
        "rows": rows,
    }


def partial(item: JsonObject, version: str = "v1") -> JsonObject:
    """`PartialObjectMetadata` of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": item["metadata"],
    }


def _embedded(item: JsonObject, include: str, version: str) -> JsonObject | None:
    if include == "Object":
        return item
    return None if include == "None" else partial(item, version)
