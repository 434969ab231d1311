"""Decoding by schema: what a typed decoder keeps, drops, fills in and refuses."""

from dataclasses import dataclass, field
from typing import Any

from pipeops.sim.objects import deep_copy
from pipeops.sim.schema.model import Definition, Type, resolve

_GO_TYPES = {
    "str": "string",
    "bytes": "[]uint8",
    "time": "string",
    "int32": "int32",
    "int64": "int64",
    "num": "float64",
    "bool": "bool",
}
_JSON_NAMES = {str: "string", bool: "bool", int: "number", float: "number", dict: "object"}


class WrongTypeError(Exception):
    """A value that its field cannot hold; the message is the decoder's."""


@dataclass(slots=True)
class Decoded:
    """A cleaned value and the paths of the fields that were dropped."""

    value: Any
    unknown: list[str] = field(default_factory=list)


def decode(
    value: Any, definition: Definition, *, defaults: bool = True, types: bool = True
) -> Decoded:
    """Keep what the schema knows; WrongTypeError where a value does not fit.

    Without `defaults`, the schema's defaults are left out and empty containers stay. Without `types`,
    values that do not fit are kept, for a validator that says what is wrong with them.
    """
    found = Decoded(None)
    found.value = _Decoder(found.unknown, defaults, types).struct(value, definition, "")
    return found


def _json_name(value: Any) -> str:
    return _JSON_NAMES.get(type(value), "array")


def _refuse(value: Any, path: str, wanted: str, owner: str = "") -> WrongTypeError:
    place = path.lstrip(".") or "object"
    if owner:
        place = f"{owner.rpartition('.')[2]}.{place}"
    return WrongTypeError(
        f"json: cannot unmarshal {_json_name(value)} into Go struct field {place} of type {wanted}"
    )


def _omitted_when_empty(value: Any, kind: Type) -> bool:
    return isinstance(value, dict | list) and kind.form in {"map", "list"}


class _Decoder:
    def __init__(self, unknown: list[str], defaults: bool, types: bool) -> None:  # noqa: FBT001 - private
        self._unknown = unknown
        self._defaults = defaults
        self._types = types

    def struct(self, value: Any, definition: Definition, path: str) -> Any:
        if not isinstance(value, dict):
            raise _refuse(value, path, definition.name)
        kept = {}
        for name, item in value.items():
            known = definition.fields.get(name)
            where = f"{path}.{name}" if path else name
            if known is None:
                if definition.open:
                    kept[name] = item
                else:
                    self._unknown.append(where)
                continue
            if item is None:
                continue
            cleaned = self._value(item, known.type, where, definition.name)
            if cleaned or not self._defaults or not _omitted_when_empty(cleaned, known.type):
                kept[name] = cleaned
        if self._defaults:
            for name, known in definition.fields.items():
                if known.default is not None and name not in kept:
                    kept[name] = deep_copy(known.default)
        return kept

    def _value(self, value: Any, kind: Type, path: str, owner: str) -> Any:
        try:
            return self._fitting(value, kind, path, owner)
        except WrongTypeError:
            if self._types:
                raise
            return value

    def _fitting(self, value: Any, kind: Type, path: str, owner: str) -> Any:
        shape = resolve(kind)
        if isinstance(shape, Definition):
            return self.struct(value, shape, path)
        element = shape.element or Type("any")
        match shape.form:
            case "list" if isinstance(value, list):
                return [self._value(v, element, f"{path}[{i}]", owner) for i, v in enumerate(value)]
            case "map" if isinstance(value, dict):
                return {k: self._value(v, element, f"{path}.{k}", owner) for k, v in value.items()}
            case "list" | "map":
                raise _refuse(value, path, "map" if shape.form == "map" else "slice", owner)
            case "scalar":
                return _scalar(value, shape.name, path, owner)
            case _:
                return value


def _scalar(value: Any, name: str, path: str, owner: str) -> Any:
    match name:
        case "quantity" if isinstance(value, int | float | str) and not isinstance(value, bool):
            return str(value)
        case "int-or-string" if isinstance(value, int | str) and not isinstance(value, bool):
            return value
        case "str" | "time" | "bytes" if isinstance(value, str):
            return value
        case "bool" if isinstance(value, bool):
            return value
        case "num" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        case "int32" | "int64" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "int32" | "int64" if isinstance(value, float) and value.is_integer():
            return int(value)
        case _:
            raise _refuse(value, path, _GO_TYPES.get(name, name), owner)
