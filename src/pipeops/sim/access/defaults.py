"""The roles and bindings that every cluster has from its first second."""

from collections.abc import Iterator

from pipeops.sim.access.rbac import GROUP
from pipeops.sim.objects import JsonObject

READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_READABLE = {
    "": [
        "bindings",
        "configmaps",
        "endpoints",
        "events",
        "limitranges",
        "namespaces",
        "namespaces/status",
        "persistentvolumeclaims",
        "persistentvolumeclaims/status",
        "pods",
        "pods/log",
        "pods/status",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "replicationcontrollers/status",
        "resourcequotas",
        "resourcequotas/status",
        "serviceaccounts",
        "services",
        "services/status",
    ],
    "discovery.k8s.io": ["endpointslices"],
    "apps": [
        "controllerrevisions",
        "daemonsets",
        "daemonsets/status",
        "deployments",
        "deployments/scale",
        "deployments/status",
        "replicasets",
        "replicasets/scale",
        "replicasets/status",
        "statefulsets",
        "statefulsets/scale",
        "statefulsets/status",
    ],
    "autoscaling": ["horizontalpodautoscalers", "horizontalpodautoscalers/status"],
    "batch": ["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
    "policy": ["poddisruptionbudgets", "poddisruptionbudgets/status"],
    "networking.k8s.io": ["ingresses", "ingresses/status", "networkpolicies"],
}
_WRITABLE = {
    "": [
        "configmaps",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "pods",
        "pods/attach",
        "pods/exec",
        "pods/portforward",
        "pods/proxy",
        "replicationcontrollers",
        "replicationcontrollers/scale",
        "secrets",
        "serviceaccounts",
        "services",
        "services/proxy",
    ],
    "apps": [
        "daemonsets",
        "deployments",
        "deployments/rollback",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
    ],
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
    "policy": ["poddisruptionbudgets"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "coordination.k8s.io": ["leases"],
}
_INFO_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY_PATHS = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez"]
_DISCOVERY_PATHS += ["/openapi", "/openapi/*", "/readyz", "/version", "/version/"]


def rule(group: str, resources: list[str], verbs: list[str]) -> JsonObject:
    """One resource rule."""
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _view() -> list[JsonObject]:
    return [rule(group, listed, READ) for group, listed in _READABLE.items()]


def _edit() -> list[JsonObject]:
    interactive = ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]
    return [
        rule("", [*interactive, "secrets", "services/proxy"], READ),
        rule("", ["serviceaccounts"], ["impersonate"]),
        rule("", ["pods/eviction", "serviceaccounts/token"], ["create"]),
        rule("coordination.k8s.io", ["leases"], READ),
        *(rule(group, listed, WRITE) for group, listed in _WRITABLE.items()),
        *_view(),
    ]


def _admin() -> list[JsonObject]:
    return [
        *_edit(),
        rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]),
        rule(GROUP, ["rolebindings", "roles"], [*READ, *WRITE]),
    ]


def _everything() -> list[JsonObject]:
    return [rule("*", ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}]


def cluster_role(
    name: str, rules: list[JsonObject], labels: JsonObject | None = None
) -> JsonObject:
    """A ClusterRole document."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, **({"labels": labels} if labels else {})},
        "rules": rules,
    }


def cluster_role_binding(name: str, role: str, subjects: list[JsonObject]) -> JsonObject:
    """A ClusterRoleBinding document."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    }


def group(name: str) -> JsonObject:
    """A Group subject."""
    return {"apiGroup": GROUP, "kind": "Group", "name": name}


def bootstrap() -> Iterator[JsonObject]:
    """The default ClusterRoles and ClusterRoleBindings."""
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    self_reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    basic = [
        rule("authorization.k8s.io", self_reviews, ["create"]),
        rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
    ]
    roles = {
        "cluster-admin": _everything(),
        "admin": _admin(),
        "edit": _edit(),
        "view": _view(),
        "system:basic-user": basic,
        "system:discovery": [{"nonResourceURLs": _DISCOVERY_PATHS, "verbs": ["get"]}],
        "system:public-info-viewer": [{"nonResourceURLs": _INFO_PATHS, "verbs": ["get"]}],
    }
    for name, rules in roles.items():
        yield cluster_role(name, rules, labels)
    everyone = [group("system:authenticated"), group("system:unauthenticated")]
    bindings = {
        "cluster-admin": [group("system:masters")],
        "system:basic-user": everyone[:1],
        "system:discovery": everyone[:1],
        "system:public-info-viewer": everyone,
    }
    for name, subjects in bindings.items():
        made = cluster_role_binding(name, name, subjects)
        made["metadata"]["labels"] = labels
        yield made
