"""What the agent's installation manifest puts into a cluster: its account, roles and bindings."""

from collections.abc import Iterator

from pipeops.sim.access.defaults import (
    READ,
    cluster_role,
    cluster_role_binding,
    group,
    rule,
)
from pipeops.sim.access.rbac import GROUP
from pipeops.sim.objects import JsonObject

AGENT_NAMESPACE = "pipeops-system"
AGENT_ACCOUNT = "pipeops-agent"
PEOPLE = {
    "pipeops:viewers": "view",
    "pipeops:editors": "edit",
    "pipeops:admins": "cluster-admin",
}
"""Group that a person comes in with, to the ClusterRole that it holds."""
_LABELS = {"app.kubernetes.io/name": "pipeops-agent"}
_ACCOUNT: JsonObject = {
    "kind": "ServiceAccount",
    "name": AGENT_ACCOUNT,
    "namespace": AGENT_NAMESPACE,
}


def _named(rule_: JsonObject, *names: str) -> JsonObject:
    return {**rule_, "resourceNames": list(names)}


def _base() -> list[JsonObject]:
    return [
        rule("", ["pods", "nodes", "services", "namespaces"], READ),
        rule("discovery.k8s.io", ["endpointslices"], ["get", "list"]),
        rule("apps", ["deployments", "replicasets", "statefulsets"], READ),
        rule("metrics.k8s.io", ["nodes", "pods"], ["get", "list"]),
    ]


def _impersonate() -> list[JsonObject]:
    verbs = ["impersonate"]
    extras = ["userextras/pipeops.io/request-id"]
    return [
        rule("", ["users"], verbs),
        _named(rule("", ["groups"], verbs), *PEOPLE),
        rule("authentication.k8s.io", extras, verbs),
    ]


def _state() -> list[JsonObject]:
    verbs = ["get", "update", "patch", "delete"]
    return [
        rule("", ["configmaps", "secrets"], ["create"]),
        _named(rule("", ["configmaps"], verbs), "pipeops-agent-state"),
        _named(rule("", ["secrets"], verbs), "pipeops-agent-secrets"),
        rule("coordination.k8s.io", ["leases"], ["create"]),
        _named(rule("coordination.k8s.io", ["leases"], ["get", "patch"]), "pipeops-agent"),
    ]


def _labelled(obj: JsonObject) -> JsonObject:
    obj["metadata"]["labels"] = dict(_LABELS)
    return obj


def agent_installation() -> Iterator[JsonObject]:
    """The objects of `deploy/manifests/rbac.yaml`, in its order."""
    own = {"namespace": AGENT_NAMESPACE}
    yield _labelled(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENT_NAMESPACE}}
    )
    yield _labelled(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": AGENT_ACCOUNT, **own}}
    )
    for name, rules in (
        ("pipeops-agent-base", _base()),
        ("pipeops-agent-impersonate", _impersonate()),
    ):
        yield _labelled(cluster_role(name, rules))
    for name in ("pipeops-agent-base", "pipeops-agent-impersonate"):
        yield _labelled(cluster_role_binding(name, name, [dict(_ACCOUNT)]))
    name = "pipeops-agent-state"
    version = f"{GROUP}/v1"
    yield _labelled(
        {
            "apiVersion": version,
            "kind": "Role",
            "metadata": {"name": name, **own},
            "rules": _state(),
        }
    )
    yield _labelled(
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": {"name": name, **own},
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
            "subjects": [dict(_ACCOUNT)],
        }
    )
    for people, role in PEOPLE.items():
        yield _labelled(cluster_role_binding(people.replace(":", "-"), role, [group(people)]))
