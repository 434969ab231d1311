"""Which kind gets which defaults, and the defaults of the small kinds."""

import base64
from collections.abc import Callable, Mapping

from pipeops.sim.defaults import pods, workloads
from pipeops.sim.defaults.pods import fill
from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject, metadata, name_of

RBAC = "rbac.authorization.k8s.io"
FINALIZER = "kubernetes"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def _service(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)
    if spec["sessionAffinity"] == "ClientIP":
        fill(spec, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10800}})
    for port in spec.get("ports") or ():
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)


def _secret(obj: JsonObject) -> None:
    fill(obj, type="Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()


def _namespace(obj: JsonObject) -> None:
    if name := name_of(obj):
        labels = metadata(obj).setdefault("labels", {})
        labels[NAMESPACE_LABEL] = name


def _binding(obj: JsonObject) -> None:
    reference = obj.get("roleRef")
    if isinstance(reference, dict):
        fill(reference, apiGroup=RBAC)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"}:
            fill(subject, apiGroup=RBAC)


def _claim(obj: JsonObject) -> None:
    fill(obj.setdefault("spec", {}), volumeMode="Filesystem")


def _volume(obj: JsonObject) -> None:
    fill(
        obj.setdefault("spec", {}),
        volumeMode="Filesystem",
        persistentVolumeReclaimPolicy="Retain",
    )


def _network_policy(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            fill(port, protocol="TCP")


def _storage_class(obj: JsonObject) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _endpoint_slice(obj: JsonObject) -> None:
    for port in obj.get("ports") or ():
        fill(port, name="", protocol="TCP")


def _scaler(obj: JsonObject) -> None:
    fill(obj.setdefault("spec", {}), minReplicas=1)


def _custom_definition(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, conversion={"strategy": "None"})
    names = spec.setdefault("names", {})
    kind = names.get("kind") or ""
    fill(names, singular=kind.lower(), listKind=f"{kind}List")


DEFAULTS: Mapping[tuple[str, str], Callable[[JsonObject], None]] = {
    ("", "pods"): pods.pod,
    ("", "podtemplates"): lambda obj: pods.pod_spec(
        obj.setdefault("template", {}).setdefault("spec", {})
    ),
    ("", "services"): _service,
    ("", "secrets"): _secret,
    ("", "namespaces"): _namespace,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume,
    ("", "replicationcontrollers"): workloads.replication_controller,
    ("apps", "deployments"): workloads.deployment,
    ("apps", "replicasets"): workloads.replica_set,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("apps", "daemonsets"): workloads.daemon_set,
    ("batch", "jobs"): workloads.job,
    ("batch", "cronjobs"): workloads.cron_job,
    (RBAC, "rolebindings"): _binding,
    (RBAC, "clusterrolebindings"): _binding,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("discovery.k8s.io", "endpointslices"): _endpoint_slice,
    ("autoscaling", "horizontalpodautoscalers"): _scaler,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _custom_definition,
}


def set_defaults(resource: Resource, obj: JsonObject) -> None:
    """Complete an object in place, as its kind's decoder does."""
    found = DEFAULTS.get((resource.group, resource.plural))
    if found is not None:
        found(obj)
