"""One request through the simulated API server: who, may they, what, answer."""

from dataclasses import replace
from typing import Protocol
from uuid import uuid4

from pipeops.sim import discovery, reading, subresources
from pipeops.sim.access.impersonation import impersonate
from pipeops.sim.access.rbac import Attributes
from pipeops.sim.access.users import User
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.deleting import deletion_answer
from pipeops.sim.errors import ApiError, method_not_allowed, no_such_resource, not_found
from pipeops.sim.http import Answer, Request, Response
from pipeops.sim.kinds import Resource
from pipeops.sim.managed import Actor, record_update
from pipeops.sim.negotiation import Form, choose, decode, encode
from pipeops.sim.objects import JsonObject
from pipeops.sim.openapi.documents import Documents
from pipeops.sim.openapi.serving import openapi_answer
from pipeops.sim.options import delete_options, manager_of
from pipeops.sim.router import RequestInfo, request_info
from pipeops.sim.scaling import read_scale
from pipeops.sim.schema.model import definition_of
from pipeops.sim.writing import Writes

_HEALTH = ("healthz", "livez", "readyz")


class PodEndpoints(Protocol):
    """Answers what is inside pods; the requests are authenticated and authorized already."""

    @staticmethod
    def serves(info: RequestInfo) -> bool:
        """Whether a request is for one of its subresources."""
        ...

    def answer(self, request: Request, info: RequestInfo, user: User) -> Answer:
        """Answer one request; ApiError for a refusal."""
        ...


def attributes_of(info: RequestInfo) -> Attributes:
    """What the authorizer looks at."""
    if not info.is_resource:
        return Attributes(info.verb, path=info.path)
    return Attributes(
        info.verb, info.group, info.plural, info.subresource, info.namespace, info.name
    )


class ApiServer:
    """The handler behind the HTTP server; holds no state of its own.

    `pods` answers what is inside pods: log, exec and the like; without it, those are not served.
    """

    def __init__(self, cluster: SimulatedCluster, pods: PodEndpoints | None = None) -> None:
        self.cluster = cluster
        self.pods = pods
        self._documents = Documents(cluster.registry)

    async def handle(self, request: Request) -> Answer:
        """Answer one request; every refusal becomes a Status document."""
        try:
            answer = await self._answer(request)
        except ApiError as error:
            answer = error_response(request, error)
        answer.headers.append(("Audit-Id", str(uuid4())))
        answer.headers.append(("Cache-Control", "no-cache, private"))
        for text in request.warnings:
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            answer.headers.append(("Warning", f'299 - "{escaped}"'))
        return answer

    async def _answer(self, request: Request) -> Answer:
        user = self.cluster.authenticator.authenticate(request)
        user = impersonate(request, user, self.cluster.authorizer)
        info = request_info(request)
        self.cluster.authorizer.require(user, attributes_of(info))
        if not info.is_resource:
            return self._plain(request, info)
        resource = self.cluster.registry.find(info.group, info.version, info.plural)
        if resource is None:
            if info.group and info.group not in self.cluster.registry.groups():
                return page_not_found()
            raise no_such_resource()
        if info.namespace and not resource.namespaced and resource.plural != "namespaces":
            raise no_such_resource()
        return await self._resource(request, info, resource, user)

    async def _resource(
        self, request: Request, info: RequestInfo, resource: Resource, user: User
    ) -> Answer:
        if self.pods is not None and self.pods.serves(info):
            return self.pods.answer(request, info, user)
        if not resource.persistent:
            return await self._review(request, info, resource, user)
        if resource.plural == "namespaces" and not resource.group:
            info = replace(info, namespace="")
        if info.subresource:
            return await self._subresource(request, info, resource, user)
        match info.verb:
            case "get":
                return reading.get(self.cluster, request, resource, info)
            case "list":
                return reading.list_objects(self.cluster, request, resource, info)
            case "watch":
                return reading.watch(self.cluster, request, resource, info)
            case "delete" | "deletecollection" if info.verb in resource.verbs:
                return await self._delete(request, info, resource)
            case "create" | "update" | "patch":
                return await self._write(request, info, resource, user)
            case _:
                raise method_not_allowed(request.method)

    async def _write(
        self, request: Request, info: RequestInfo, resource: Resource, user: User
    ) -> Answer:
        writes = Writes(self.cluster, request, resource, info, user)
        if info.verb == "create":
            if info.name or (resource.namespaced and not info.namespace):
                raise method_not_allowed(request.method)
            return await writes.create()
        if not info.name:
            raise method_not_allowed(request.method)
        return await (writes.update() if info.verb == "update" else writes.patch())

    async def _delete(self, request: Request, info: RequestInfo, resource: Resource) -> Answer:
        options = await delete_options(request)
        cluster = self.cluster
        if info.verb == "deletecollection":
            return reading.delete_collection(cluster, request, resource, info, options)
        found = cluster.store.get(resource.storage, info.namespace, info.name)
        if found is None:
            raise not_found(resource.group, resource.plural, info.name)
        deletion = cluster.deleter.delete(resource, found, options)
        body = deletion_answer(resource, deletion)
        if body is deletion.object:
            return reading.write_object(cluster, request, resource, body)
        return self._json(request, body)

    async def _review(
        self, request: Request, info: RequestInfo, resource: Resource, user: User
    ) -> Answer:
        if info.verb != "create":
            raise method_not_allowed(request.method)
        body = decode(await request.body(), request.header("content-type"))
        cluster = self.cluster
        now = cluster.clock.now()
        answer = cluster.reviews.answer(info.group, info.plural, body, user, now=now)
        if "spec" in answer:
            given = {"metadata": answer["metadata"], "spec": dict(body.get("spec") or {})}
            actor = Actor(manager_of(request), resource.group_version)
            record_update(None, given, definition_of(resource), actor, now)
        return reading.write_object(cluster, request, resource, answer, 201)

    async def _subresource(
        self, request: Request, info: RequestInfo, resource: Resource, user: User
    ) -> Answer:
        if (info.plural, info.subresource, info.verb) in subresources.SERVED:
            body, code = await subresources.answer(self.cluster, request, resource, info)
            return self._json(request, body, code)
        known = resource.subresources.get(info.subresource)
        if known is None:
            raise no_such_resource()
        if info.verb not in known.verbs:
            raise method_not_allowed(request.method)
        if info.verb == "get":
            return self._read_subresource(request, info, resource)
        return await self._write(request, info, resource, user)

    def _read_subresource(
        self, request: Request, info: RequestInfo, resource: Resource
    ) -> Response:
        found = self.cluster.store.get(resource.storage, info.namespace, info.name)
        if found is None:
            raise not_found(resource.group, resource.plural, info.name)
        if info.subresource == "scale":
            return self._json(request, read_scale(resource, found))
        return reading.write_object(self.cluster, request, resource, found)

    def _plain(self, request: Request, info: RequestInfo) -> Answer:
        parts = [part for part in info.path.split("/") if part]
        registry = self.cluster.registry
        if not parts:
            return self._json(request, discovery.root_paths(registry))
        if parts[0] in {"api", "apis"}:
            return self._discovery(request, parts)
        if parts[0] in _HEALTH:
            return _health(request, parts[0])
        if parts[0] == "openapi":
            found = openapi_answer(self._documents, parts, request.header("accept"))
            return found or page_not_found()
        if parts == ["version"]:
            return self._json(request, discovery.VERSION)
        return page_not_found()

    def _discovery(self, request: Request, parts: list[str]) -> Answer:
        registry = self.cluster.registry
        if len(parts) == 1:
            core = parts[0] == "api"
            form = choose(request.header("accept"), (discovery.AGGREGATED,))
            if form.convert:
                body = discovery.aggregated(registry, core=core, version=form.version)
                kind = f"application/json;g=apidiscovery.k8s.io;v={form.version};as={form.convert}"
                etag = f'"{registry.generation}-{int(core)}"'
                headers = [("Vary", "Accept"), ("ETag", etag)]
                return Response(200, encode(body, Form()), kind, headers)
            return self._json(
                request, discovery.api_versions() if core else discovery.group_list(registry)
            )
        group = "" if parts[0] == "api" else parts[1]
        version = parts[-1] if len(parts) == (2 if not group else 3) else ""
        groups = registry.groups()
        if group not in groups:
            return page_not_found()
        if not version:
            return self._json(request, discovery.api_group(registry, group, top_level=True))
        if version not in groups[group]:
            return page_not_found()
        return self._json(request, discovery.resource_list(registry, group, version))

    @staticmethod
    def _json(request: Request, body: JsonObject, code: int = 200) -> Response:
        form = choose(request.header("accept"))
        return Response(code, encode(body, form), form.content_type)


def page_not_found() -> Response:
    """What Go's router answers for a path nobody serves."""
    headers = [("X-Content-Type-Options", "nosniff")]
    return Response(404, b"404 page not found\n", "text/plain; charset=utf-8", headers)


def error_response(request: Request, error: ApiError) -> Response:
    """The Status document of a refusal, as YAML where the client asked for YAML."""
    try:
        form = choose(request.header("accept"))
    except ApiError:
        form = Form()
    headers = [("Retry-After", str(error.retry_after))] if error.retry_after else []
    return Response(error.code, encode(error.status, form), form.content_type, headers)


def _health(request: Request, name: str) -> Response:
    text = "text/plain; charset=utf-8"
    if "verbose" not in request.query:
        return Response(200, b"ok", text)
    lines = [f"[+]{check} ok" for check in ("ping", "log", "etcd", "informer-sync")]
    body = "\n".join([*lines, f"{name} check passed", ""])
    return Response(200, body.encode(), text)
