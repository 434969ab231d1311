"""Defaults of pod specs, in pods and in the templates of workloads."""

from typing import Any

from pipeops.sim.objects import JsonObject

GRACE_SECONDS = 30
FILE_MODE = 0o644
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = {
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}


def fill(target: JsonObject, **values: Any) -> None:
    """Set what is missing or null."""
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def image_pull_policy(image: str) -> str:
    """Always for the tag latest (or none), else IfNotPresent."""
    last = image.rpartition("/")[2]
    if "@" in last:
        return "IfNotPresent"
    tag = last.partition(":")[2]
    return "Always" if tag in {"", "latest"} else "IfNotPresent"


def _probe(probe: JsonObject) -> None:
    fill(probe, **_PROBE)
    if isinstance(get := probe.get("httpGet"), dict):
        fill(get, path="/", scheme="HTTP")
    if isinstance(call := probe.get("grpc"), dict):
        fill(call, service="")


def _container(container: JsonObject) -> None:
    fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    if container.get("image"):
        fill(container, imagePullPolicy=image_pull_policy(container["image"]))
    limits = container["resources"].get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
    for name in _PROBES:
        if isinstance(container.get(name), dict):
            _probe(container[name])
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if isinstance(reference, dict):
            fill(reference, apiVersion="v1")


def _volume(volume: JsonObject) -> None:
    if not set(volume) - {"name"}:
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if isinstance(volume.get(kind), dict):
            fill(volume[kind], defaultMode=FILE_MODE)
    if isinstance(host := volume.get("hostPath"), dict):
        fill(host, type="")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        if isinstance(item.get("fieldRef"), dict):
            fill(item["fieldRef"], apiVersion="v1")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if isinstance(token := source.get("serviceAccountToken"), dict):
            fill(token, expirationSeconds=3600)


def pod_spec(spec: JsonObject, *, restart: str = "Always") -> None:
    """Complete a pod spec in place."""
    fill(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy=restart,
        schedulerName="default-scheduler",
        securityContext={},
        terminationGracePeriodSeconds=GRACE_SECONDS,
    )
    if name := spec.get("serviceAccountName"):
        spec["serviceAccount"] = name
    elif name := spec.get("serviceAccount"):
        spec["serviceAccountName"] = name
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def pod(obj: JsonObject) -> None:
    """Complete a pod in place."""
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    fill(spec, enableServiceLinks=True)


def template(obj: JsonObject, *, restart: str = "Always") -> None:
    """Complete the pod template of a workload in place."""
    spec = obj.setdefault("spec", {})
    inner = spec.setdefault("template", {})
    pod_spec(inner.setdefault("spec", {}), restart=restart)
