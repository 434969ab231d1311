"""The documents at /openapi/v2 and /openapi/v3: paths, parameters, definitions."""

import hashlib
from collections.abc import Iterator

import msgspec

from pipeops.sim.discovery import VERSION
from pipeops.sim.kinds import Registry, Resource
from pipeops.sim.objects import JsonObject
from pipeops.sim.openapi.protobuf import document as encode_document
from pipeops.sim.openapi.schemas import SchemaWriter, definition_name

_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "pretty")
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_ACTIONS = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}
_COLLECTION = {"list": "get", "create": "post", "deletecollection": "delete"}


def _base(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


class Documents:
    """Builds the documents on demand and keeps them while the set of kinds stays the same."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, bytes] = {}
        self._generation = registry.generation

    def _fresh(self) -> dict[str, bytes]:
        if self._generation != self._registry.generation:
            self._made.clear()
            self._generation = self._registry.generation
        return self._made

    def index(self) -> JsonObject:
        """GET /openapi/v3: where each group and version has its document."""
        paths: JsonObject = {}
        for group, versions in self._registry.groups().items():
            for version in versions:
                path = _base(group, version)[1:]
                text = self.v3(group, version) or b""
                digest = hashlib.sha512(text).hexdigest().upper()
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": dict(sorted(paths.items()))}

    def v3(self, group: str, version: str) -> bytes | None:
        """One group version's document; None when it is not served."""
        made, path = self._fresh(), _base(group, version)
        if path not in made:
            resources = self._registry.in_version(group, version)
            if not resources:
                return None
            made[path] = msgspec.json.encode(self._v3_document(resources))
        return made[path]

    def _v3_document(self, resources: list[Resource]) -> JsonObject:
        writer = SchemaWriter(v3=True)
        paths: JsonObject = {}
        for resource in resources:
            paths |= dict(_paths(resource, writer, v3=True))
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": f"v{VERSION['major']}.{VERSION['minor']}"},
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": writer.closure(resources),
                "securitySchemes": {
                    "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}
                },
            },
        }

    def v2(self, *, protobuf: bool = False) -> bytes:
        """GET /openapi/v2: everything in one, as JSON or Protobuf."""
        made = self._fresh()
        if "v2" not in made:
            writer = SchemaWriter(v3=False)
            resources = self._registry.all()
            paths: JsonObject = {}
            for resource in resources:
                paths |= dict(_paths(resource, writer, v3=False))
            document = {
                "swagger": "2.0",
                "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
                "paths": dict(sorted(paths.items())),
                "definitions": writer.closure(resources),
            }
            made["v2"] = msgspec.json.encode(document)
            made["v2 protobuf"] = encode_document(document)
        return made["v2 protobuf" if protobuf else "v2"]


def _paths(
    resource: Resource, writer: SchemaWriter, *, v3: bool
) -> Iterator[tuple[str, JsonObject]]:
    base = _base(resource.group, resource.version)
    if resource.namespaced:
        if "list" in resource.verbs:
            yield (
                f"{base}/{resource.plural}",
                {"get": _operation(resource, writer, "list", v3=v3)},
            )
        base += "/namespaces/{namespace}"
    collection = {
        method: _operation(resource, writer, verb, v3=v3)
        for verb, method in _COLLECTION.items()
        if verb in resource.verbs
    }
    yield f"{base}/{resource.plural}", collection
    named = {
        method: _operation(resource, writer, verb, v3=v3)
        for verb, method in _ACTIONS.items()
        if verb in resource.verbs and verb != "create"
    }
    if named:
        yield f"{base}/{resource.plural}/{{name}}", named
    for sub in resource.subresources.values():
        group, _, version = (sub.owner or resource.group_version).rpartition("/")
        kind = {"group": group, "kind": sub.kind, "version": version}
        yield (
            f"{base}/{resource.plural}/{{name}}/{sub.name}",
            {
                _ACTIONS[verb]: {
                    "responses": {"200": {"description": "OK"}},
                    "parameters": _parameters(verb, v3=v3),
                    "x-kubernetes-action": verb,
                    "x-kubernetes-group-version-kind": kind,
                }
                for verb in sub.verbs
                if verb in _ACTIONS
            },
        )


def _parameters(verb: str, *, v3: bool) -> list[JsonObject]:
    names: tuple[str, ...] = (
        _WRITE_PARAMETERS if verb in {"create", "update", "patch"} else ("pretty",)
    )
    if verb in {"delete", "deletecollection"}:
        names = ("dryRun", "gracePeriodSeconds", "propagationPolicy")
    if verb == "patch":
        names = (*names, "force")
    found = []
    for name in names:
        kind = {"type": "boolean" if name == "force" else "string", "uniqueItems": True}
        found.append({"name": name, "in": "query", **({"schema": kind} if v3 else kind)})
    return found


def _operation(resource: Resource, writer: SchemaWriter, verb: str, *, v3: bool) -> JsonObject:
    reference = writer.custom_reference(definition_name(resource))
    content = {"application/json": {"schema": reference}}
    answer: JsonObject = {"description": "OK"}
    answer |= {"content": content} if v3 else {"schema": reference}
    found: JsonObject = {
        "operationId": f"{verb}{resource.version.title()}{resource.kind}",
        "parameters": _parameters(verb, v3=v3),
        "responses": {"200": answer},
        "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "kind": resource.kind,
            "version": resource.version,
        },
    }
    if v3 and verb in {"create", "update"}:
        found["requestBody"] = {"content": {"*/*": {"schema": reference}}, "required": True}
    elif v3 and verb == "patch":
        # kubectl reads from here whether a kind takes strategic patches.
        patches = _PATCHES if resource.custom is None else _PATCHES[:-1]
        found["requestBody"] = {
            "content": {media: {"schema": {"type": "object"}} for media in patches},
            "required": True,
        }
    return found
