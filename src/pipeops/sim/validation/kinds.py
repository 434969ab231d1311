"""Which kind is checked how, on create and on update."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from pipeops.sim.errors import ApiError, invalid
from pipeops.sim.kinds import Resource
from pipeops.sim.objects import JsonObject, dig, name_of
from pipeops.sim.selectors import from_object, matches
from pipeops.sim.validation import pods
from pipeops.sim.validation.custom import custom_causes
from pipeops.sim.validation.names import (
    Cause,
    dns_label,
    labels,
    metadata_causes,
    required,
    unsupported,
    wrong,
)

RBAC = "rbac.authorization.k8s.io"
FIXED = "field is immutable"
SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


class Check(Protocol):
    """Yields the mistakes of an object, which replaces `old` unless that is None."""

    def __call__(self, old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
        """Run the check."""
        ...


def _pod(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    yield from pods.spec_causes(new.get("spec") or {}, "spec")
    if old is not None:
        yield from pods.update_causes(old, new)


def _template(spec: JsonObject, restarts: tuple[str, ...]) -> Iterator[Cause]:
    template = spec.get("template") or {}
    found = (template.get("metadata") or {}).get("labels") or {}
    yield from labels(found, "spec.template.labels")
    inner = template.get("spec") or {}
    yield from pods.spec_causes(inner, "spec.template.spec")
    policy = inner.get("restartPolicy")
    if policy not in pods.RESTART_POLICIES or policy in restarts:
        return
    where = "spec.template.spec.restartPolicy"
    if len(restarts) > 1:
        yield required(where, "valid values: " + ", ".join(f'"{item}"' for item in restarts))
    else:
        yield unsupported(where, policy, restarts)


def _workload(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    selector = spec.get("selector")
    replicas = spec.get("replicas", 0)
    if isinstance(replicas, int) and replicas < 0:
        yield wrong("spec.replicas", replicas, "must be greater than or equal to 0")
    if not selector:
        if selector is None:
            yield required("spec.selector")
        else:
            yield wrong("spec.selector", "{}", "empty selector is invalid for deployment")
    template_labels = dig(spec, "template", "metadata", "labels") or {}
    parsed = from_object(selector) if selector else None
    if parsed is not None and not matches(parsed, template_labels):
        shown = _go_map(template_labels)
        yield Cause(
            "FieldValueInvalid",
            "spec.template.metadata.labels",
            f"Invalid value: {shown}: `selector` does not match template `labels`",
        )
    yield from _template(spec, ("Always",))
    if old is not None and dig(old, "spec", "selector") != selector:
        yield Cause(
            "FieldValueInvalid",
            "spec.selector",
            f"Invalid value: {_go_selector(selector)}: {FIXED}",
        )


def _go_map(value: JsonObject) -> str:
    inner = ",".join(f'"{key}":"{item}"' for key, item in sorted(value.items()))
    return "{" + inner + "}" if value else "null"


def _go_selector(selector: JsonObject | None) -> str:
    found = (selector or {}).get("matchLabels") or {}
    return '{"matchLabels":' + _go_map(found) + "}"


def _job(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    yield from _template(spec, ("OnFailure", "Never"))
    if old is not None and dig(old, "spec", "template") != spec.get("template"):
        yield Cause("FieldValueInvalid", "spec.template", f"Invalid value: {{}}: {FIXED}")


def _service(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    kind = spec.get("type", "")
    if kind not in SERVICE_TYPES:
        yield unsupported("spec.type", kind, SERVICE_TYPES)
    ports = spec.get("ports") or []
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        if len(ports) > 1 and not port.get("name"):
            yield required(f"{where}.name")
        elif port.get("name"):
            yield from (
                wrong(f"{where}.name", port["name"], why) for why in dns_label(port["name"])
            )
        if not pods.is_port(port.get("port")):
            yield wrong(f"{where}.port", port.get("port", 0), pods.PORTS)
        if port.get("protocol") not in pods.PROTOCOLS:
            yield unsupported(f"{where}.protocol", str(port.get("protocol")), pods.PROTOCOLS)
        target = port.get("targetPort")
        if isinstance(target, int) and not pods.is_port(target):
            yield wrong(f"{where}.targetPort", target, pods.PORTS)
    before = dig(old, "spec", "clusterIP") if old else None
    if before and spec.get("clusterIP") != before and kind != "ExternalName":
        address = spec.get("clusterIP") or ""
        yield wrong("spec.clusterIPs[0]", address, "may not change once set")


def _sealed(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    why = "Forbidden: field is immutable when `immutable` is set"
    if not new.get("immutable"):
        yield Cause("FieldValueForbidden", "immutable", why)
    for key in ("data", "binaryData"):
        if old.get(key) != new.get(key):
            yield Cause("FieldValueForbidden", key, why)


def _secret(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    yield from _sealed(old, new)
    if old is not None and old.get("type") != new.get("type"):
        yield wrong("type", new.get("type", ""), FIXED)


def _binding(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    reference = new.get("roleRef") or {}
    if reference.get("kind") not in {"Role", "ClusterRole"}:
        yield unsupported("roleRef.kind", reference.get("kind", ""), ("Role", "ClusterRole"))
    if not reference.get("name"):
        yield required("roleRef.name")
    if old is not None and old.get("roleRef") != reference:
        yield wrong("roleRef", reference, "cannot change roleRef")


def _custom_definition(old: JsonObject | None, new: JsonObject) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    wanted = f"{dig(spec, 'names', 'plural') or ''}.{spec.get('group', '')}"
    if name_of(new) != wanted:
        yield wrong("metadata.name", name_of(new), 'must be spec.names.plural+"."+spec.group')
    if not spec.get("group"):
        yield required("spec.group")
    if spec.get("scope") not in {"Cluster", "Namespaced"}:
        yield unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced"))
    if not spec.get("versions"):
        yield required("spec.versions")
    if old is not None and dig(old, "spec", "scope") != spec.get("scope"):
        yield wrong("spec.scope", spec.get("scope", ""), FIXED)


_CHECKS: Mapping[tuple[str, str], Check] = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "configmaps"): _sealed,
    ("", "secrets"): _secret,
    ("apps", "deployments"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "statefulsets"): _workload,
    ("apps", "daemonsets"): _workload,
    ("batch", "jobs"): _job,
    (RBAC, "rolebindings"): _binding,
    (RBAC, "clusterrolebindings"): _binding,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _custom_definition,
}


def refusal(resource: Resource, old: JsonObject | None, new: JsonObject) -> ApiError | None:
    """The 422 for an object that must not be stored, or None when it is fine."""
    causes = list(metadata_causes(resource, new))
    check = _CHECKS.get((resource.group, resource.plural))
    if check is not None:
        causes += check(old, new)
    if resource.custom is not None:
        schema = (resource.custom.get("schema") or {}).get("openAPIV3Schema") or {}
        causes += custom_causes(new, schema)
    if not causes:
        return None
    return invalid(resource.group, resource.kind, name_of(new), list(causes))
