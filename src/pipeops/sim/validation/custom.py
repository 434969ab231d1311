"""Custom objects against their CRD's schema, in the words of the validator that the API server uses."""

import re
from collections.abc import Iterator
from typing import Any

from pipeops.sim.objects import JsonObject
from pipeops.sim.validation.names import Cause, required, unsupported

MAX_DEPTH = 64
_SKIPPED = frozenset({"apiVersion", "kind", "metadata"})


def type_name(value: Any) -> str:
    """A JSON value's type as schemas name it."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"


def _fits(value: Any, wanted: str) -> bool:
    found = type_name(value)
    if wanted == "number":
        return found in {"number", "integer"}
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return found == wanted


def custom_causes(value: Any, schema: JsonObject) -> Iterator[Cause]:
    """Everything in an object that its schema does not allow."""
    properties = {
        name: inner
        for name, inner in (schema.get("properties") or {}).items()
        if name not in _SKIPPED
    }
    lacking = [name for name in schema.get("required") or () if name not in _SKIPPED]
    trimmed = {**schema, "properties": properties, "required": lacking}
    body = {name: item for name, item in value.items() if name not in _SKIPPED}
    yield from _check(body, trimmed, "", 0)


def _check(value: Any, schema: JsonObject, path: str, depth: int) -> Iterator[Cause]:
    if depth > MAX_DEPTH or (value is None and schema.get("nullable")):
        return
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield _wrong_type(path, "integer,string", value)
        return
    if wanted and not _fits(value, wanted):
        yield _wrong_type(path, wanted, value)
        return
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        yield unsupported(path, str(value), tuple(map(str, allowed)))
    if isinstance(value, dict):
        yield from _object(value, schema, path, depth)
    elif isinstance(value, list):
        inner = schema.get("items") or {}
        for index, item in enumerate(value):
            yield from _check(item, inner, f"{path}[{index}]", depth + 1)
        yield from _bounds(len(value), schema, path, ("minItems", "maxItems"), "items", value)
    elif isinstance(value, str):
        yield from _text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)


def _object(value: JsonObject, schema: JsonObject, path: str, depth: int) -> Iterator[Cause]:
    for name in schema.get("required") or ():
        if name not in value:
            yield required(f"{path}.{name}".lstrip("."))
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, item in value.items():
        inner = properties.get(name, extra if isinstance(extra, dict) else None)
        if isinstance(inner, dict):
            yield from _check(item, inner, f"{path}.{name}".lstrip("."), depth + 1)


def _wrong_type(path: str, wanted: str, value: Any) -> Cause:
    found = type_name(value)
    text = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause("FieldValueTypeInvalid", path, text)


def _invalid(path: str, value: Any, why: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return Cause("FieldValueInvalid", path, f"Invalid value: {shown}: {path} in body {why}")


def _bounds(
    size: int, schema: JsonObject, path: str, names: tuple[str, str], unit: str, value: Any
) -> Iterator[Cause]:
    least, most = schema.get(names[0]), schema.get(names[1])
    shown = value if isinstance(value, str) else size
    if least is not None and size < least:
        yield _invalid(path, shown, f"should have at least {least} {unit}")
    if most is not None and size > most:
        yield _invalid(path, shown, f"should have at most {most} {unit}")


def _text(value: str, schema: JsonObject, path: str) -> Iterator[Cause]:
    least, most, pattern = (schema.get(key) for key in ("minLength", "maxLength", "pattern"))
    if least is not None and len(value) < least:
        yield _invalid(path, value, f"should be at least {least} chars long")
    if most is not None and len(value) > most:
        text = f"Too long: may not be more than {most} bytes"
        yield Cause("FieldValueTooLong", path, text)
    if pattern is not None and not re.search(pattern, value):
        yield _invalid(path, value, f"should match '{pattern}'")


def _number(value: float, schema: JsonObject, path: str) -> Iterator[Cause]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and value < least:
        yield _invalid(path, value, f"should be greater than or equal to {least}")
    if most is not None and value > most:
        yield _invalid(path, value, f"should be less than or equal to {most}")
