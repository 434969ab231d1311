"""Pod specs: containers, ports, volumes, restart policy; and what an update may change."""

from collections.abc import Iterator

from pipeops.sim.objects import JsonObject, deep_copy
from pipeops.sim.validation.names import Cause, dns_label, required, unsupported, wrong

PORTS = "must be between 1 and 65535, inclusive"
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PROTOCOLS = ("SCTP", "TCP", "UDP")
IMMUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)


def is_port(value: object) -> bool:
    """Whether a number is a TCP or UDP port."""
    return isinstance(value, int) and 1 <= value <= 65535


def _port_causes(container: JsonObject, field: str) -> Iterator[Cause]:
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{field}.ports[{index}]"
        if not port.get("containerPort"):
            yield required(f"{where}.containerPort")
        elif not is_port(port["containerPort"]):
            yield wrong(f"{where}.containerPort", port["containerPort"], PORTS)
        if (protocol := port.get("protocol")) not in PROTOCOLS:
            yield unsupported(f"{where}.protocol", str(protocol), PROTOCOLS)


def container_causes(container: JsonObject, field: str, volumes: set[str]) -> Iterator[Cause]:
    """One container."""
    name = container.get("name") or ""
    if not name:
        yield required(f"{field}.name")
    else:
        yield from (wrong(f"{field}.name", name, why) for why in dns_label(name))
    image = container.get("image") or ""
    if not image:
        yield required(f"{field}.image")
    elif image.strip() != image:
        yield wrong(f"{field}.image", image, "must not have leading or trailing whitespace")
    policy = container.get("imagePullPolicy")
    if policy and policy not in PULL_POLICIES:
        yield unsupported(f"{field}.imagePullPolicy", policy, PULL_POLICIES)
    yield from _port_causes(container, field)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            where = f"{field}.volumeMounts[{index}].name"
            yield Cause("FieldValueNotFound", where, f'Not found: "{mount.get("name", "")}"')
        if not mount.get("mountPath"):
            yield required(f"{field}.volumeMounts[{index}].mountPath")
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield required(f"{field}.env[{index}].name")


def spec_causes(spec: JsonObject, field: str) -> Iterator[Cause]:
    """A pod spec, also inside a template."""
    volumes = {volume.get("name", "") for volume in spec.get("volumes") or ()}
    for index, volume in enumerate(spec.get("volumes") or ()):
        name = volume.get("name") or ""
        if not name:
            yield required(f"{field}.volumes[{index}].name")
        else:
            where = f"{field}.volumes[{index}].name"
            yield from (wrong(where, name, why) for why in dns_label(name))
    if not spec.get("containers"):
        yield required(f"{field}.containers")
    seen: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            where = f"{field}.{kind}[{index}]"
            yield from container_causes(container, where, volumes)
            name = container.get("name", "")
            if name and name in seen:
                yield Cause("FieldValueDuplicate", f"{where}.name", f'Duplicate value: "{name}"')
            seen.add(name)
    if (policy := spec.get("restartPolicy")) not in RESTART_POLICIES:
        yield unsupported(f"{field}.restartPolicy", str(policy), RESTART_POLICIES)
    if (dns := spec.get("dnsPolicy")) not in DNS_POLICIES:
        yield unsupported(f"{field}.dnsPolicy", str(dns), DNS_POLICIES)


def _comparable(spec: JsonObject) -> JsonObject:
    copy: JsonObject = deep_copy(spec)
    for kind in ("containers", "initContainers"):
        for container in copy.get(kind) or ():
            container.pop("image", None)
    for key in (
        "activeDeadlineSeconds",
        "ephemeralContainers",
        "tolerations",
        "terminationGracePeriodSeconds",
    ):
        copy.pop(key, None)
    return copy


def update_causes(old: JsonObject, new: JsonObject) -> Iterator[Cause]:
    """What an update of a pod may not change."""
    if _comparable(old.get("spec") or {}) != _comparable(new.get("spec") or {}):
        yield Cause("FieldValueForbidden", "spec", f"Forbidden: {IMMUTABLE}")
