"""JSON schemas of API types, for both OpenAPI versions."""

from collections.abc import Sequence

from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject
from pipeops.sim.schema.model import Definition, Field, Type, definitions

_PREFIXES = (
    ("meta.", "io.k8s.apimachinery.pkg.apis.meta."),
    ("machinery.", "io.k8s.apimachinery.pkg."),
    ("apiextensions.", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions."),
    ("apiregistration.", "io.k8s.kube-aggregator.pkg.apis.apiregistration."),
)
_SCALARS: dict[str, JsonObject] = {
    "str": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "num": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
}
_V3_QUANTITY = {"oneOf": [{"type": "string"}, {"type": "number"}]}
_V3_INT_OR_STRING = {
    "format": "int-or-string",
    "oneOf": [{"type": "integer"}, {"type": "string"}],
}


def full_name(short: str) -> str:
    """A definition's name in OpenAPI documents."""
    for prefix, full in _PREFIXES:
        if short.startswith(prefix):
            return full + short.removeprefix(prefix)
    return f"io.k8s.api.{short}"


def custom_name(resource: Resource, kind: str) -> str:
    """The name of a custom kind's definition: the group reversed."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, kind])


class SchemaWriter:
    """Writes schemas and remembers which definitions they refer to."""

    def __init__(self, *, v3: bool) -> None:
        self._v3 = v3
        self._root = "#/components/schemas/" if v3 else "#/definitions/"
        self._wanted: list[str] = []

    def reference(self, short: str) -> str:
        """A `$ref` to a built-in definition."""
        self._wanted.append(short)
        return self._root + full_name(short)

    def custom_reference(self, name: str) -> JsonObject:
        """A `$ref` to a custom definition."""
        return {"$ref": self._root + name}

    def type_schema(self, kind: Type) -> JsonObject:
        """The schema of a value."""
        if kind.form == "struct":
            return {"$ref": self.reference(kind.name)}
        if kind.form == "list":
            return {"type": "array", "items": self.type_schema(kind.element or Type("any"))}
        if kind.form == "map":
            inner = self.type_schema(kind.element or Type("any"))
            return {"type": "object", "additionalProperties": inner}
        if kind.form == "scalar":
            return dict(_SCALARS.get(kind.name, {"type": "string"}))
        return {"type": "object"} if kind.name == "object" else {}

    def field_schema(self, field: Field) -> JsonObject:
        """The schema of a property, with its patch and apply marks."""
        found = self.type_schema(field.type)
        if "$ref" in found and self._v3:
            found = {"allOf": [found], "default": {}}
        if field.default is not None:
            found["default"] = field.default
        if field.patch:
            found["x-kubernetes-patch-strategy"] = field.patch
        if field.merge_key:
            found["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.keys:
            found["x-kubernetes-list-map-keys"] = list(field.keys)
            found["x-kubernetes-list-type"] = "map"
        elif field.list_type:
            found["x-kubernetes-list-type"] = field.list_type
        if field.map_type:
            found["x-kubernetes-map-type"] = field.map_type
        return found

    def definition_schema(self, definition: Definition) -> JsonObject:
        """The schema of a definition."""
        if definition.scalar:
            return self._named_scalar(definition.scalar)
        found: JsonObject = {"type": "object"}
        if definition.fields:
            found["properties"] = {
                name: self.field_schema(field) for name, field in definition.fields.items()
            }
        required = [name for name, field in definition.fields.items() if field.required]
        if required:
            found["required"] = required
        if definition.atomic:
            found["x-kubernetes-map-type"] = "atomic"
        return found

    def _named_scalar(self, scalar: str) -> JsonObject:
        if scalar == "quantity":
            return dict(_V3_QUANTITY) if self._v3 else {"type": "string"}
        if scalar == "int-or-string":
            v2 = {"type": "string", "format": "int-or-string"}
            return dict(_V3_INT_OR_STRING) if self._v3 else v2
        if scalar in _SCALARS:
            return dict(_SCALARS[scalar])
        return {"type": "object"} if scalar == "object" else {}

    def closure(self, resources: Sequence[Resource]) -> dict[str, JsonObject]:
        """The definitions of these resources, their lists, and everything those refer to."""
        found: dict[str, JsonObject] = {}
        for resource in resources:
            if resource.custom is None:
                self._wanted += [resource.definition, f"{resource.definition}List"]
                self._wanted += [
                    name
                    for sub in resource.subresources.values()
                    if (name := subresource_definition(resource, sub.kind, sub.owner))
                ]
            else:
                found |= self._custom(resource)
        self._wanted.append("meta.v1.DeleteOptions")
        done: set[str] = set()
        while self._wanted:
            short = self._wanted.pop()
            if short in done or short not in definitions():
                continue
            done.add(short)
            found[full_name(short)] = self.definition_schema(definitions()[short])
        for resource in resources:
            name = definition_name(resource)
            if name in found:
                mark = {"group": resource.group, "kind": resource.kind, "version": resource.version}
                found[name]["x-kubernetes-group-version-kind"] = [mark]
        return dict(sorted(found.items()))

    def _custom(self, resource: Resource) -> dict[str, JsonObject]:
        schema = ((resource.custom or {}).get("schema") or {}).get("openAPIV3Schema") or {}
        own: JsonObject = {"type": "object", **schema}
        text = {"type": "string"}
        own["properties"] = {
            **(schema.get("properties") or {}),
            "apiVersion": text,
            "kind": text,
            "metadata": {"$ref": self.reference("meta.v1.ObjectMeta")},
        }
        name = custom_name(resource, resource.kind)
        items = {"type": "array", "items": self.custom_reference(name)}
        listed: JsonObject = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": text,
                "items": items,
                "kind": text,
                "metadata": {"$ref": self.reference("meta.v1.ListMeta")},
            },
        }
        return {name: own, custom_name(resource, resource.list_kind): listed}


def definition_name(resource: Resource) -> str:
    """The name of a resource's definition in OpenAPI documents."""
    if resource.custom is not None:
        return custom_name(resource, resource.kind)
    return full_name(resource.definition)


def subresource_definition(resource: Resource, kind: str, owner: str) -> str:
    """The short name of a subresource's definition, or empty when it has none of its own."""
    group, _, version = (owner or resource.group_version).rpartition("/")
    prefix = group.split(".")[0] if group else "core"
    name = f"{prefix}.{version}.{kind}"
    return name if name in definitions() else ""
