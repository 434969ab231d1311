"""Types of API objects: read from types.txt for built-in kinds, from the CRD for custom ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources as package_files
from typing import Any, Literal

from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject
from pipeops.sim.schema.numbers import pointer_fields

Form = Literal["scalar", "struct", "map", "list", "any"]


@dataclass(frozen=True, slots=True)
class Type:
    """What a value is. `name` is a scalar's name or a definition's; `inline` a custom struct."""

    form: Form
    name: str = ""
    element: "Type | None" = None
    inline: "Definition | None" = None


@dataclass(frozen=True, slots=True)
class Field:
    """One property: its type and how patches and server-side apply treat it."""

    name: str
    type: Type
    required: bool = False
    patch: str = ""
    merge_key: str = ""
    keys: tuple[str, ...] = ()
    list_type: str = ""
    map_type: str = ""
    default: Any = None
    dotted: bool = False
    """Whether its container counts as a managed field of its own: it can be absent from an empty object."""

    @property
    def associative(self) -> bool:
        """A list whose items are known by key."""
        return bool(self.keys)

    @property
    def atomic(self) -> bool:
        """Replaced as a whole by server-side apply."""
        if self.type.form == "list":
            return not self.keys and self.list_type != "set"
        return self.map_type == "atomic"


@dataclass(frozen=True, slots=True)
class Definition:
    """A struct's fields; `open` ones keep fields that they do not know."""

    name: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    atomic: bool = False
    open: bool = False
    scalar: str = ""
    description: str = ""


ANY = Type("any")
SCALARS = frozenset({"str", "bytes", "time", "int32", "int64", "num", "bool"})
SPECIALS = frozenset({"quantity", "int-or-string", *SCALARS})


def _type(text: str) -> Type:
    if text.startswith("[]"):
        return Type("list", element=_type(text[2:]))
    if text.startswith("{}"):
        return Type("map", element=_type(text[2:]))
    if text in SCALARS:
        return Type("scalar", text)
    if text in {"any", "object"}:
        return Type("any", text)
    return Type("struct", text)


def _field(line: str) -> Field:
    name, kind, *marks = line.split(" ")
    found: dict[str, Any] = {"name": name.rstrip("!"), "required": name.endswith("!")}
    for mark in marks:
        key, _, value = mark.partition("=")
        match key:
            case "patch":
                found["patch"], _, found["merge_key"] = value.partition(":")
            case "keys":
                found["keys"] = tuple(value.split(","))
            case "list":
                found["list_type"] = value
            case "map":
                found["map_type"] = value
            case "default":
                found["default"] = json.loads(value)
            case _:
                raise ValueError(f"types.txt: unknown mark {mark!r}")
    return Field(type=_type(kind), **found)


def _dotted(definition: str, fields: dict[str, Field]) -> dict[str, Field]:
    pointers = pointer_fields(definition)
    return {
        name: replace(known, dotted=name in pointers)
        if known.type.form == "struct"
        else replace(known, dotted=known.type.form in {"list", "map"} and not known.required)
        for name, known in fields.items()
    }


@cache
def definitions() -> Mapping[str, Definition]:
    """Every built-in definition by its short name."""
    text = package_files.files("pipeops.sim.schema").joinpath("types.txt").read_text()
    found: dict[str, Definition] = {}
    head, fields = "", dict[str, Field]()
    for line in [*text.splitlines(), "end"]:
        if line.startswith("#"):
            continue
        if line.startswith(" "):
            made = _field(line.strip())
            fields[made.name] = made
            continue
        if head:
            name, _, rest = head.partition(" ")
            scalar = rest.removeprefix(": ") if rest.startswith(":") else ""
            found[name] = Definition(
                name, _dotted(name, fields), rest == "map=atomic", scalar=scalar
            )
        head, fields = line, {}
    return found


def resolve(kind: Type) -> Type | Definition:
    """A struct's definition (or, for the named scalars, that scalar's type); else `kind`."""
    if kind.form != "struct":
        return kind
    if kind.inline is not None:
        return kind.inline
    definition = definitions()[kind.name]
    if definition.scalar:
        if definition.scalar in SPECIALS:
            return Type("scalar", definition.scalar)
        return Type("any", definition.scalar)
    return definition


_OPENAPI_SCALARS = {"string": "str", "integer": "int64", "number": "num", "boolean": "bool"}
METADATA = "meta.v1.ObjectMeta"


def definition_of(resource: Resource) -> Definition:
    """The type of a resource's objects."""
    if resource.custom is None:
        return definitions()[resource.definition]
    return custom_definition(resource)


def custom_definition(resource: Resource) -> Definition:
    """A CRD version's `openAPIV3Schema`, with the fields that every object has."""
    schema = ((resource.custom or {}).get("schema") or {}).get("openAPIV3Schema") or {}
    made = _struct(schema, resource.kind)
    fields = dict(made.fields)
    text = Type("scalar", "str")
    fields["apiVersion"], fields["kind"] = Field("apiVersion", text), Field("kind", text)
    fields["metadata"] = Field("metadata", Type("struct", METADATA))
    keep = made.open or not schema.get("properties")
    return Definition(resource.kind, fields, open=keep, description=made.description)


def _struct(schema: JsonObject, name: str) -> Definition:
    required = set(schema.get("required") or ())
    fields = {
        key: _custom_field(key, value, required=key in required)
        for key, value in (schema.get("properties") or {}).items()
    }
    return Definition(
        name,
        fields,
        atomic=schema.get("x-kubernetes-map-type") == "atomic",
        open=bool(schema.get("x-kubernetes-preserve-unknown-fields")),
        description=schema.get("description", ""),
    )


def _custom_type(schema: JsonObject, name: str) -> Type:
    if schema.get("x-kubernetes-int-or-string"):
        return Type("scalar", "int-or-string")
    extra = schema.get("additionalProperties")
    kind = schema.get("type")
    if kind == "object" and isinstance(extra, dict):
        return Type("map", element=_custom_type(extra, name))
    if kind == "object" and schema.get("properties"):
        return Type("struct", inline=_struct(schema, name))
    if kind == "array":
        return Type("list", element=_custom_type(schema.get("items") or {}, name))
    scalar = _OPENAPI_SCALARS.get(kind or "")
    return Type("scalar", scalar) if scalar else ANY


def _custom_field(name: str, schema: JsonObject, *, required: bool) -> Field:
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    return Field(
        name,
        _custom_type(schema, name),
        required,
        keys=tuple(keys),
        list_type=schema.get("x-kubernetes-list-type", ""),
        map_type=schema.get("x-kubernetes-map-type", ""),
        default=schema.get("default"),
        dotted=True,
    )
