"""Defaulting: what the API server and its admission plugins add to new and changed objects."""

import base64
import hashlib
import json
from collections.abc import Callable
from uuid import uuid4

from pipeops.sim.objects import JsonObject, deep_copy, dig, metadata, name_of

Default = Callable[[JsonObject], None]

KUBERNETES_FINALIZER = "kubernetes"
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def _set(target: JsonObject, **values: object) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = deep_copy(value)


def _container(container: JsonObject) -> None:
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in {"", "latest"}
    _set(
        container,
        imagePullPolicy="Always" if latest else "IfNotPresent",
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or ():
        _set(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _set(probe, **_PROBE)
            if http := probe.get("httpGet"):
                _set(http, path="/", scheme="HTTP")
    for variable in container.get("env") or ():
        if reference := dig(variable, "valueFrom", "fieldRef"):
            _set(reference, apiVersion="v1")
    resources = container["resources"]
    for name, amount in (resources.get("limits") or {}).items():
        resources.setdefault("requests", {}).setdefault(name, amount)


def _volume(volume: JsonObject) -> None:
    for name in ("configMap", "secret", "projected", "downwardAPI"):
        if name in volume:
            _set(volume[name], defaultMode=420)
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for source in dig(volume, "projected", "sources") or ():
        if token := source.get("serviceAccountToken"):
            _set(token, expirationSeconds=3600)
    if path := volume.get("hostPath"):
        _set(path, type="")


def pod_spec(spec: JsonObject) -> None:
    """Defaults of a pod's spec, also inside templates."""
    _set(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
        securityContext={},
    )
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for name in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(name) or ():
            _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _pod(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    _set(spec, enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0)
    _set(spec, serviceAccountName="default")
    spec["serviceAccount"] = spec["serviceAccountName"]
    _tolerate(spec)
    if spec.get("automountServiceAccountToken") is not False:
        _mount_token(spec)


def _tolerate(spec: JsonObject) -> None:
    listed = spec.setdefault("tolerations", [])
    for condition in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{condition}"
        if not any(item.get("key") in {key, None} for item in listed):
            listed.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
            )


def _mount_token(spec: JsonObject) -> None:
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    mounted = [
        mount
        for container in spec.get("containers") or ()
        for mount in container.get("volumeMounts") or ()
    ]
    if any(mount.get("mountPath") == path for mount in mounted):
        return
    name = f"kube-api-access-{uuid4().hex[:5]}"
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        mount = {"name": name, "readOnly": True, "mountPath": path}
        container.setdefault("volumeMounts", []).append(mount)
    ca = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": ca},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]
    volume = {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
    spec.setdefault("volumes", []).append(volume)


def _template(spec: JsonObject) -> None:
    template = spec.setdefault("template", {})
    # The typed API always writes this; only stored objects can lack it.
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    pod_spec(template.setdefault("spec", {}))


def _deployment(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _set(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _set(spec["strategy"], rollingUpdate={})
        _set(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    _set(spec, replicas=1)


def _stateful_set(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    _set(
        spec,
        replicas=1,
        revisionHistoryLimit=10,
        podManagementPolicy="OrderedReady",
        updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )


def _daemon_set(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    rolling = {"maxUnavailable": 1, "maxSurge": 0}
    _set(
        spec,
        revisionHistoryLimit=10,
        updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling},
    )


def _job(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _template(spec)
    _set(
        spec,
        parallelism=1,
        completions=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed",
        manualSelector=False,
    )
    uid = metadata(obj).get("uid")
    if uid and "selector" not in spec:
        key = "batch.kubernetes.io/controller-uid"
        spec["selector"] = {"matchLabels": {key: uid}}
        labels = metadata(spec["template"]).setdefault("labels", {})
        for prefix in ("", "batch.kubernetes.io/"):
            labels[f"{prefix}controller-uid"] = uid
            labels[f"{prefix}job-name"] = name_of(obj)


def _cron_job(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _set(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
        jobTemplate={},
    )
    job = spec["jobTemplate"]
    job.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    _template(job.setdefault("spec", {}))


def _service(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _set(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        _set(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] != "ExternalName":
        _set(
            spec,
            internalTrafficPolicy="Cluster",
            ipFamilies=["IPv4"],
            ipFamilyPolicy="SingleStack",
        )
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)
    _set(obj, status={"loadBalancer": {}})


def _namespace(obj: JsonObject) -> None:
    labels = metadata(obj).setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = name_of(obj)
    spec = obj.setdefault("spec", {})
    _set(spec, finalizers=[KUBERNETES_FINALIZER])
    _set(obj, status={"phase": "Active"})


def _secret(obj: JsonObject) -> None:
    _set(obj, type="Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _binding(obj: JsonObject) -> None:
    group = "rbac.authorization.k8s.io"
    _set(obj.setdefault("roleRef", {}), apiGroup=group)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in {"User", "Group"}:
            _set(subject, apiGroup=group)


def _claim(obj: JsonObject) -> None:
    _set(obj.setdefault("spec", {}), volumeMode="Filesystem")
    _set(obj, status={"phase": "Pending"})


def _volume_object(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    _set(spec, volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
    _set(obj, status={"phase": "Available"})


def _network_policy(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    kinds = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    _set(spec, policyTypes=kinds)


def _autoscaler(obj: JsonObject) -> None:
    _set(obj.setdefault("spec", {}), minReplicas=1)
    _set(obj, status={"currentMetrics": None, "desiredReplicas": 0})


def _ingress(obj: JsonObject) -> None:
    _set(obj, status={"loadBalancer": {}})


def _storage_class(obj: JsonObject) -> None:
    _set(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _definition(obj: JsonObject) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    _set(names, singular=kind.lower(), listKind=f"{kind}List")
    _set(spec, conversion={"strategy": "None"})


BY_KIND: dict[tuple[str, str], Default] = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "namespaces"): _namespace,
    ("", "secrets"): _secret,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume_object,
    ("", "replicationcontrollers"): _replica_set,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("networking.k8s.io", "ingresses"): _ingress,
    ("rbac.authorization.k8s.io", "rolebindings"): _binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _binding,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _definition,
}


def apply_defaults(group: str, plural: str, obj: JsonObject) -> None:
    """Fill in an object in place."""
    default = BY_KIND.get((group, plural))
    if default is not None:
        default(obj)


def template_hash(template: JsonObject) -> str:
    """A short, stable name for a pod template, in the alphabet that Kubernetes uses for them."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(alphabet[byte % len(alphabet)] for byte in digest[:10])
