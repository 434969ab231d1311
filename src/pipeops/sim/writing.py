"""POST, PUT and PATCH of objects and of their status and scale."""

import json
from typing import Any

from pipeops.sim.access.rbac import Attributes
from pipeops.sim.access.users import User
from pipeops.sim.applying import apply_configuration
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.decoding import typed
from pipeops.sim.errors import (
    ApiError,
    bad_request,
    invalid,
    no_such_resource,
    not_found,
    unsupported_media_type,
    unsupported_patch,
)
from pipeops.sim.http import Request, Response
from pipeops.sim.kinds import Resource
from pipeops.sim.managed import Actor
from pipeops.sim.negotiation import choose, decode, encode, load_yaml
from pipeops.sim.objects import JsonObject, deep_copy, name_of
from pipeops.sim.options import WriteOptions, write_options
from pipeops.sim.patch import json_patch, merge_patch, strategic_patch
from pipeops.sim.reading import at_version, write_object
from pipeops.sim.router import RequestInfo
from pipeops.sim.scaling import read_scale, scaled, write_scale
from pipeops.sim.schema.model import definition_of

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
CREATE_BY_PUT = frozenset(
    {
        ("", "endpoints"),
        ("", "events"),
        ("", "limitranges"),
        ("coordination.k8s.io", "leases"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
    }
)
"""Kinds that a PUT may bring into being."""


class Writes:
    """One write request; made anew for each."""

    def __init__(
        self,
        cluster: SimulatedCluster,
        request: Request,
        resource: Resource,
        info: RequestInfo,
        user: User,
    ) -> None:
        self._cluster = cluster
        self._request = request
        self._resource = resource
        self._info = info
        self._user = user
        self._definition = definition_of(resource)

    async def create(self) -> Response:
        """POST to a collection."""
        options = write_options(self._request, "CreateOptions")
        body = decode(await self._request.body(), self._request.header("content-type"))
        obj = self._typed(body, options)
        if obj["metadata"].get("resourceVersion"):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        return self._created(obj, options)

    def _created(self, obj: JsonObject, options: WriteOptions) -> Response:
        actor = self._actor(options)
        made = self._cluster.writer.create(
            self._resource, self._info.namespace, obj, actor, dry_run=options.dry_run
        )
        return self._answer(made, 201)

    async def update(self) -> Response:
        """PUT of an object, its status or its scale."""
        options = write_options(self._request, "UpdateOptions")
        body = decode(await self._request.body(), self._request.header("content-type"))
        old = self._live()
        if self._info.subresource == "scale":
            return self._scale(self._require(old), body, options)
        obj = self._typed(body, options)
        if name_of(obj) == "" and old is not None:
            raise invalid(
                self._resource.group,
                self._resource.kind,
                "",
                [("FieldValueRequired", "metadata.name", "Required value: name must be provided")],
            )
        if name_of(obj) != self._info.name:
            raise bad_request(
                f"the name of the object ({name_of(obj)}) does not match the name on the URL "
                f"({self._info.name})"
            )
        if old is None:
            kind = (self._resource.group, self._resource.plural)
            if self._info.subresource or kind not in CREATE_BY_PUT:
                raise not_found(*kind, self._info.name)
            if obj["metadata"].get("resourceVersion"):
                raise not_found(*kind, self._info.name)
            return self._created(obj, options)
        return self._replaced(old, obj, options)

    def _replaced(self, old: JsonObject, obj: JsonObject, options: WriteOptions) -> Response:
        new = self._cluster.writer.replace(
            self._resource, old, obj, self._actor(options), dry_run=options.dry_run
        )
        return self._answer(new)

    async def patch(self) -> Response:
        """PATCH in any of the four forms."""
        media = self._request.header("content-type").partition(";")[0].strip().lower()
        options = write_options(self._request, "PatchOptions")
        if media == APPLY_PATCH:
            return await self._apply(options)
        if options.force is not None:
            text = "Forbidden: may not be specified for non-apply patch"
            cause = ("FieldValueForbidden", "force", text)
            raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
        if media not in PATCH_TYPES:
            raise unsupported_patch()
        if media == STRATEGIC_PATCH and self._resource.custom is not None:
            raise unsupported_media_type(f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}")
        patch = self._patch_body(await self._request.body(), media)
        old = self._require(self._live())
        if self._info.subresource == "scale":
            base = read_scale(self._resource, old)
            return self._scale(old, self._patched(base, patch, media), options)
        base = deep_copy(at_version(self._resource, old))
        obj = self._typed_patch(self._patched(base, patch, media), options)
        if obj["metadata"].get("resourceVersion") is None:
            obj["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return self._replaced(old, obj, options)

    def _typed_patch(self, patched: Any, options: WriteOptions) -> JsonObject:
        try:
            return self._typed(patched, options)
        except ApiError as error:
            message = str(error)
            if "json: cannot unmarshal" not in message:
                raise
            shown = json.dumps(patched, separators=(",", ":"))
            text = f"Invalid value: {json.dumps(shown)}: {message.partition(': ')[2]}"
            raise invalid("", "", "", [("FieldValueInvalid", "patch", text)]) from error

    @staticmethod
    def _patch_body(body: bytes, media: str) -> Any:
        try:
            patch = json.loads(body)
        except ValueError as error:
            raise bad_request("error decoding patch: unexpected end of JSON input") from error
        go_type = "[]handlers.jsonPatchOp" if media == JSON_PATCH else "map[string]interface {}"
        if not isinstance(patch, list if media == JSON_PATCH else dict):
            given = "array" if isinstance(patch, list) else "object"
            raise bad_request(
                f"error decoding patch: json: cannot unmarshal {given} into Go value of type {go_type}"
            )
        return patch

    def _patched(self, base: JsonObject, patch: Any, media: str) -> Any:
        if media == JSON_PATCH:
            return json_patch(base, patch)
        if media == MERGE_PATCH:
            return merge_patch(base, patch)
        return strategic_patch(base, patch, self._definition)

    async def _apply(self, options: WriteOptions) -> Response:
        if not options.named:
            text = "Required value: is required for apply patch"
            cause = ("FieldValueRequired", "fieldManager", text)
            raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
        config = load_yaml(await self._request.body())
        if not isinstance(config, dict):
            raise bad_request("error decoding YAML: not an object")
        if config.get("apiVersion") != self._resource.group_version:
            raise bad_request(
                "Incorrect version specified in apply patch. Specified patch version: "
                f"{config.get('apiVersion', '')}, expected: {self._resource.group_version}"
            )
        if (config.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        config = typed(
            self._request,
            config,
            self._resource,
            self._definition,
            options.validation,
            defaults=False,
        )
        head = config["metadata"]
        if head.setdefault("name", self._info.name) != self._info.name:
            raise bad_request(
                f"the name of the object ({head['name']}) does not match the name on the URL "
                f"({self._info.name})"
            )
        if self._resource.namespaced:
            head.setdefault("namespace", self._info.namespace)
        live = self._live()
        actor = self._actor(options)
        now = self._cluster.clock.now()
        merged = apply_configuration(
            live, config, self._definition, actor, force=bool(options.force), now=now
        )
        if live is None:
            return self._apply_new(merged, options)
        merged["metadata"].setdefault("resourceVersion", live["metadata"]["resourceVersion"])
        if self._info.subresource == "status":
            merged = {**live, "status": merged.get("status"), "metadata": merged["metadata"]}
        writer = self._cluster.writer
        new = writer.replace(self._resource, live, merged, None, dry_run=options.dry_run)
        return self._answer(new)

    def _apply_new(self, merged: JsonObject, options: WriteOptions) -> Response:
        if self._info.subresource:
            raise not_found(self._resource.group, self._resource.plural, self._info.name)
        if merged["metadata"].get("uid"):
            raise not_found(self._resource.group, self._resource.plural, self._info.name)
        info = self._info
        wanted = Attributes("create", info.group, info.plural, "", info.namespace, info.name)
        self._cluster.authorizer.require(self._user, wanted)
        made = self._cluster.writer.create(
            self._resource,
            info.namespace,
            merged,
            self._actor(options),
            dry_run=options.dry_run,
            record=False,
        )
        return self._answer(made, 201)

    def _scale(self, old: JsonObject, body: Any, options: WriteOptions) -> Response:
        if not scaled(self._resource):
            raise no_such_resource()
        replicas = write_scale(self._resource, old, body)
        new = deep_copy(at_version(self._resource, old))
        new["spec"]["replicas"] = replicas
        writer = self._cluster.writer
        actor = self._actor(options)
        written = writer.replace(self._resource, old, new, actor, dry_run=options.dry_run)
        form = choose(self._request.header("accept"))
        body = encode(read_scale(self._resource, written), form)
        return Response(200, body, form.content_type)

    def _typed(self, value: Any, options: WriteOptions) -> JsonObject:
        return typed(self._request, value, self._resource, self._definition, options.validation)

    def _actor(self, options: WriteOptions) -> Actor:
        return Actor(options.manager, self._resource.group_version, self._info.subresource)

    def _live(self) -> JsonObject | None:
        info = self._info
        return self._cluster.store.get(self._resource.storage, info.namespace, info.name)

    def _require(self, found: JsonObject | None) -> JsonObject:
        if found is None:
            raise not_found(self._resource.group, self._resource.plural, self._info.name)
        return found

    def _answer(self, obj: JsonObject, code: int = 200) -> Response:
        return write_object(self._cluster, self._request, self._resource, obj, code)
