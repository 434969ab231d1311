"""What a kind does to an object on its way into the store: first status, allocation, generations."""

import secrets
from collections.abc import Callable, Mapping

from pipeops.sim.defaults.kinds import FINALIZER
from pipeops.sim.errors import ApiError, forbidden
from pipeops.sim.kinds import GroupResource, Resource
from pipeops.sim.objects import JsonObject, dig, name_of
from pipeops.sim.qos import quality_of_service
from pipeops.sim.storage import Store

SERVICES = GroupResource("", "services")
SERVICE_ACCOUNTS = GroupResource("", "serviceaccounts")
SERVICE_NETWORK = "10.96"
NODE_PORTS = range(30000, 32768)
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Characters of generated names: no vowels, nothing that looks alike."""
MAX_GENERATED = 58
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path
_ACCESS_SOURCES: list[JsonObject] = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {
        "downwardAPI": {
            "items": [
                {
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }
            ]
        }
    },
]
FIRST_STATUS: Mapping[tuple[str, str], JsonObject] = {
    ("", "namespaces"): {"phase": "Active"},
    ("", "services"): {"loadBalancer": {}},
    ("", "persistentvolumeclaims"): {"phase": "Pending"},
    ("", "persistentvolumes"): {"phase": "Pending"},
    ("", "replicationcontrollers"): {"replicas": 0},
    ("apps", "deployments"): {},
    ("apps", "replicasets"): {"replicas": 0},
    ("apps", "statefulsets"): {"replicas": 0, "availableReplicas": 0},
    ("apps", "daemonsets"): {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    ("batch", "jobs"): {},
    ("batch", "cronjobs"): {},
    ("networking.k8s.io", "ingresses"): {"loadBalancer": {}},
    ("policy", "poddisruptionbudgets"): {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    ("autoscaling", "horizontalpodautoscalers"): {"desiredReplicas": 0, "currentMetrics": None},
}
KEEPS_STATUS = frozenset({("", "nodes"), ("", "componentstatuses")})
"""Kinds whose creator may set the status."""
GENERATIONS = frozenset(
    {
        ("", "pods"),
        ("", "podtemplates"),
        ("", "replicationcontrollers"),
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("batch", "jobs"),
        ("batch", "cronjobs"),
        ("networking.k8s.io", "ingresses"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "networkpolicies"),
        ("policy", "poddisruptionbudgets"),
        ("discovery.k8s.io", "endpointslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    }
)
RETURNS_DELETED = frozenset(
    {
        ("", "namespaces"),
        ("", "persistentvolumeclaims"),
        ("", "persistentvolumes"),
        ("", "pods"),
        ("", "podtemplates"),
        ("", "resourcequotas"),
        ("", "serviceaccounts"),
        ("", "services"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "volumeattributesclasses"),
    }
)
"""Kinds whose deletion answers with the object instead of a Status."""


def random_suffix(length: int = 5) -> str:
    """The tail of a generated name."""
    return "".join(secrets.choice(NAME_ALPHABET) for _ in range(length))


def has_status(resource: Resource) -> bool:
    """Whether status is written through its own subresource."""
    return "status" in resource.subresources


def counts_generations(resource: Resource) -> bool:
    """Whether metadata.generation follows the spec."""
    return resource.custom is not None or (resource.group, resource.plural) in GENERATIONS


def prepare_create(store: Store, resource: Resource, obj: JsonObject) -> None:
    """Complete a new object in place; 403 where admission refuses it."""
    kind = (resource.group, resource.plural)
    if has_status(resource) and kind not in KEEPS_STATUS:
        obj.pop("status", None)
        first = FIRST_STATUS.get(kind)
        if first is not None:
            obj["status"] = dict(first)
    if counts_generations(resource):
        obj["metadata"]["generation"] = 1
    prepare = _PREPARE.get(kind)
    if prepare is not None:
        prepare(store, obj)


def _namespace(store: Store, obj: JsonObject) -> None:
    del store
    obj.setdefault("spec", {})["finalizers"] = [FINALIZER]


def _service(store: Store, obj: JsonObject) -> None:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return
    others = [other.get("spec") or {} for other in store.objects(SERVICES)]
    if not spec.get("clusterIP"):
        spec["clusterIP"] = _free_address({other.get("clusterIP", "") for other in others})
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        used = {port.get("nodePort") for other in others for port in other.get("ports") or ()}
        for port in spec.get("ports") or ():
            if not port.get("nodePort"):
                port["nodePort"] = next(n for n in NODE_PORTS if n not in used)
            used.add(port["nodePort"])


def _free_address(used: set[str]) -> str:
    for number in range(11, 1 << 16):
        address = f"{SERVICE_NETWORK}.{number >> 8}.{number & 255}"
        if address not in used:
            return address
    raise ApiError(500, "InternalError", "failed to allocate a serviceIP: range is full", {})


def _pod(store: Store, obj: JsonObject) -> None:
    spec, meta = obj["spec"], obj["metadata"]
    account = spec.get("serviceAccountName") or "default"
    namespace = meta.get("namespace", "")
    found = store.get(SERVICE_ACCOUNTS, namespace, account)
    if found is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise forbidden("", "pods", name_of(obj), why)
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    _tolerate(spec)
    wants_token = spec.get("automountServiceAccountToken")
    if wants_token is None:
        wants_token = found.get("automountServiceAccountToken")
    if wants_token is not False:
        _mount_token(spec)
    obj["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}


def _tolerate(spec: JsonObject) -> None:
    held = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(item.get("key") in {key, None} for item in held):
            held.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
            )


def _mount_token(spec: JsonObject) -> None:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    lacking = [
        container
        for container in containers
        if all(m.get("mountPath") != TOKEN_PATH for m in container.get("volumeMounts") or ())
    ]
    if not lacking:
        return
    name = f"kube-api-access-{random_suffix()}"
    sources = [dict(source) for source in _ACCESS_SOURCES]
    spec.setdefault("volumes", []).append(
        {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
    )
    for container in lacking:
        container.setdefault("volumeMounts", []).append(
            {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}
        )


_PREPARE: Mapping[tuple[str, str], Callable[[Store, JsonObject], None]] = {
    ("", "namespaces"): _namespace,
    ("", "services"): _service,
    ("", "pods"): _pod,
}


def prepare_update(resource: Resource, old: JsonObject, new: JsonObject, subresource: str) -> None:
    """Keep what this write may not touch, and count the generation."""
    if subresource == "status":
        _keep_all_but_status(old, new)
    elif has_status(resource):
        _keep(old, new, "status")
    if (resource.group, resource.plural) == ("", "services"):
        spec, before = new["spec"], old["spec"]
        if spec.get("type") != "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if not spec.get(key) and before.get(key):
                    spec[key] = before[key]
    if (resource.group, resource.plural, subresource) == ("", "namespaces", ""):
        new.setdefault("spec", {})["finalizers"] = dig(old, "spec", "finalizers") or []
    if counts_generations(resource):
        generation = old["metadata"].get("generation", 0)
        if subresource != "status" and _desired(old) != _desired(new):
            generation += 1
        new["metadata"]["generation"] = generation


def _keep(old: JsonObject, new: JsonObject, key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def _keep_all_but_status(old: JsonObject, new: JsonObject) -> None:
    for key in {*old, *new} - {"status", "metadata", "apiVersion", "kind"}:
        _keep(old, new, key)


def _desired(obj: JsonObject) -> JsonObject:
    hidden = {"metadata", "status", "apiVersion", "kind"}
    return {key: value for key, value in obj.items() if key not in hidden}
