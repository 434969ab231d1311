"""Discovery documents: aggregated and one by one, version, paths."""

import hashlib

import msgspec

from pipeops.sim.kinds import Registry, Resource, Subresource
from pipeops.sim.objects import JsonObject

VERSION: JsonObject = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.3",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.26.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}
"""What /version answers: the release whose behaviour is simulated."""

AGGREGATED = "APIGroupDiscoveryList"


def api_versions() -> JsonObject:
    """GET /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "localhost"}],
    }


def group_list(registry: Registry) -> JsonObject:
    """GET /apis."""
    groups = [api_group(registry, group) for group in registry.groups() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(registry: Registry, group: str, *, top_level: bool = False) -> JsonObject:
    """GET /apis/{group}, or one entry of the list (which carries no kind)."""
    listed = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in registry.groups()[group]
    ]
    head: JsonObject = {"kind": "APIGroup", "apiVersion": "v1"} if top_level else {}
    return head | {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _legacy_resource(resource: Resource) -> JsonObject:
    found: JsonObject = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    if resource.persistent and "create" in resource.verbs:
        found["storageVersionHash"] = _hash(f"{resource.group_version}/{resource.kind}")
    return found


def _legacy_subresource(resource: Resource, sub: Subresource) -> JsonObject:
    found: JsonObject = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
    }
    if sub.owner:
        group, _, version = sub.owner.rpartition("/")
        found |= {"group": group, "version": version} if group else {"version": version}
    return found | {"kind": sub.kind, "verbs": list(sub.verbs)}


def resource_list(registry: Registry, group: str, version: str) -> JsonObject:
    """GET /api/v1 or /apis/{group}/{version}."""
    listed = []
    for resource in registry.in_version(group, version):
        listed.append(_legacy_resource(resource))
        below = sorted(resource.subresources.values(), key=lambda sub: sub.name)
        listed.extend(_legacy_subresource(resource, sub) for sub in below)
    head = {"kind": "APIResourceList", "apiVersion": "v1"} if group else {"kind": "APIResourceList"}
    owner = f"{group}/{version}" if group else version
    return head | {"groupVersion": owner, "resources": listed}


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()[:8]
    return msgspec.json.encode(digest).decode().strip('"')


def _aggregated_resource(resource: Resource) -> JsonObject:
    found: JsonObject = {
        "resource": resource.plural,
        "responseKind": {
            "group": resource.group,
            "version": resource.version if resource.group else "",
            "kind": resource.kind,
        },
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    subs = []
    for sub in sorted(resource.subresources.values(), key=lambda s: s.name):
        group, _, version = sub.owner.rpartition("/")
        if not sub.owner:
            group, version = resource.group, resource.version if resource.group else ""
        kind = {"group": group, "version": version, "kind": sub.kind}
        subs.append({"subresource": sub.name, "responseKind": kind, "verbs": list(sub.verbs)})
    if subs:
        found["subresources"] = subs
    return found


def aggregated(registry: Registry, *, core: bool, version: str) -> JsonObject:
    """GET /api or /apis as one APIGroupDiscoveryList; `version` is v2 or v2beta1."""
    items = []
    for group, versions in registry.groups().items():
        if (group == "") is not core:
            continue
        served = [
            {
                "version": served_version,
                "resources": [
                    _aggregated_resource(resource)
                    for resource in registry.in_version(group, served_version)
                ],
                "freshness": "Current",
            }
            for served_version in versions
        ]
        meta = {"name": group} if group else {}
        items.append({"metadata": meta, "versions": served})
    return {
        "kind": AGGREGATED,
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def root_paths(registry: Registry) -> JsonObject:
    """GET /."""
    paths = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/"]
    for group, versions in registry.groups().items():
        if group:
            paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
    paths += ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    return {"paths": sorted(paths)}
