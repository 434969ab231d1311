"""The scale subresource: a workload seen as a number of replicas."""

from typing import Any

from pipeops.sim.errors import bad_request, invalid, stale
from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject, dig, name_of, namespace_of
from pipeops.sim.selectors import as_query

SCALE_VERSION = "autoscaling/v1"


def scaled(resource: Resource) -> bool:
    """Whether the resource has a scale."""
    return "scale" in resource.subresources


def read_scale(resource: Resource, obj: JsonObject) -> JsonObject:
    """The `autoscaling/v1` Scale of a workload."""
    head = obj["metadata"]
    kept = ("uid", "resourceVersion", "creationTimestamp")
    status: JsonObject = {"replicas": dig(obj, "status", "replicas") or 0}
    selector = dig(obj, "spec", "selector")
    if selector:
        legacy = resource.plural == "replicationcontrollers"
        status["selector"] = as_query({"matchLabels": selector} if legacy else selector)
    spec: JsonObject = {}
    if replicas := dig(obj, "spec", "replicas"):
        spec["replicas"] = replicas
    return {
        "kind": "Scale",
        "apiVersion": SCALE_VERSION,
        "metadata": {
            "name": name_of(obj),
            "namespace": namespace_of(obj),
            **{key: head[key] for key in kept if key in head},
        },
        "spec": spec,
        "status": status,
    }


def write_scale(resource: Resource, obj: JsonObject, scale: Any) -> int:
    """The replicas that a Scale asks for; 409 for a lost race, 422 for a negative number."""
    if not isinstance(scale, dict):
        raise bad_request("expected input object type to be Scale")
    if scale.get("kind", "Scale") != "Scale":
        raise bad_request(f"expected input object type to be Scale, but {scale.get('kind')}")
    version = dig(scale, "metadata", "resourceVersion")
    if version and version != obj["metadata"]["resourceVersion"]:
        raise stale(resource.group, resource.plural, name_of(obj))
    replicas = dig(scale, "spec", "replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request(
            'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into '
            "Go struct field ScaleSpec.spec.replicas of type int32"
        )
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = ("FieldValueInvalid", "spec.replicas", text)
        raise invalid("autoscaling", "Scale", name_of(obj), [cause])
    return replicas
