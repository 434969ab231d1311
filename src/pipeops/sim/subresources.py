"""Subresources that are neither status nor scale: tokens, bindings, evictions, finalizers."""

from pipeops.sim.access.tokens import issue_token
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.errors import bad_request, conflict, not_found
from pipeops.sim.http import Request
from pipeops.sim.kinds import Resource
from pipeops.sim.managed import Actor
from pipeops.sim.negotiation import decode
from pipeops.sim.objects import JsonObject, deep_copy, dig, name_of
from pipeops.sim.options import DeleteOptions, manager_of
from pipeops.sim.router import RequestInfo

_CREATED: JsonObject = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}
SERVED = frozenset(
    {
        ("serviceaccounts", "token", "create"),
        ("pods", "binding", "create"),
        ("pods", "eviction", "create"),
        ("namespaces", "finalize", "update"),
    }
)
"""(resource, subresource, verb) that `answer` knows."""


async def answer(
    cluster: SimulatedCluster, request: Request, resource: Resource, info: RequestInfo
) -> tuple[JsonObject, int]:
    """The answer's body and code for one of `SERVED`."""
    body = decode(await request.body(), request.header("content-type"))
    namespace = "" if resource.plural == "namespaces" else info.namespace
    found = cluster.store.get(resource.storage, namespace, info.name)
    if found is None:
        raise not_found(resource.group, resource.plural, info.name)
    if info.subresource == "token":
        issued = issue_token(
            cluster.authenticator,
            found,
            body,
            manager=manager_of(request),
            now=cluster.clock.now(),
        )
        return issued, 201
    if info.subresource == "binding":
        return _bind(cluster, resource, found, body), 201
    if info.subresource == "eviction":
        return _evict(cluster, resource, found, body), 201
    new = deep_copy(found)
    new.setdefault("spec", {})["finalizers"] = dig(body, "spec", "finalizers") or []
    actor = Actor(manager_of(request), "v1", "finalize")
    return cluster.writer.replace(resource, found, new, actor), 200


def _bind(
    cluster: SimulatedCluster,
    resource: Resource,
    pod: JsonObject,
    body: JsonObject,
) -> JsonObject:
    node = dig(body, "target", "name")
    if not node:
        raise bad_request("target.name: Required value")
    if held := dig(pod, "spec", "nodeName"):
        why = f'pod {name_of(pod)} is already assigned to node "{held}"'
        raise conflict("", "pods/binding", name_of(pod), why)
    cluster.place_pod(resource, pod, node)
    return dict(_CREATED)


def _evict(
    cluster: SimulatedCluster, resource: Resource, pod: JsonObject, body: JsonObject
) -> JsonObject:
    given = body.get("deleteOptions") or {}
    options = DeleteOptions(
        grace=given.get("gracePeriodSeconds"), dry_run=bool(given.get("dryRun"))
    )
    cluster.deleter.delete(resource, pod, options)
    return dict(_CREATED)
