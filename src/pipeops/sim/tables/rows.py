"""The rows of every other built-in kind: columns as text, cells as one function each."""

from collections.abc import Callable
from typing import Any

from pipeops.sim.objects import JsonObject, dig, name_of, parse_timestamp
from pipeops.sim.selectors import render
from pipeops.sim.tables import text
from pipeops.sim.tables.pods import event_row, pod_row

Row = Callable[[JsonObject, float], list[Any]]


def _named(*cells: Callable[[JsonObject, float], Any]) -> Row:
    def row(obj: JsonObject, now: float) -> list[Any]:
        return [name_of(obj), *(cell(obj, now) for cell in cells)]

    return row


def _path(*path: str, default: Any = "") -> Callable[[JsonObject, float], Any]:
    def cell(obj: JsonObject, now: float) -> Any:
        del now
        found = dig(obj, *path)
        return default if found is None else found

    return cell


def _count(field: str) -> Callable[[JsonObject, float], int]:
    def cell(obj: JsonObject, now: float) -> int:
        del now
        return len(obj.get(field) or ())

    return cell


_age = text.age


def _wide(obj: JsonObject) -> list[Any]:
    selector = dig(obj, "spec", "selector")
    return [*text.containers(dig(obj, "spec", "template")), render(selector)]


def _deployment(obj: JsonObject, now: float) -> list[Any]:
    status = obj.get("status") or {}
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{dig(obj, 'spec', 'replicas') or 0}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _age(obj, now),
        *_wide(obj),
    ]


def _replica_set(obj: JsonObject, now: float) -> list[Any]:
    status = obj.get("status") or {}
    counts = [status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [name_of(obj), dig(obj, "spec", "replicas") or 0, *counts, _age(obj, now), *_wide(obj)]


def _stateful_set(obj: JsonObject, now: float) -> list[Any]:
    ready = dig(obj, "status", "readyReplicas") or 0
    ratio = f"{ready}/{dig(obj, 'spec', 'replicas') or 0}"
    return [name_of(obj), ratio, _age(obj, now), *text.containers(dig(obj, "spec", "template"))]


def _daemon_set(obj: JsonObject, now: float) -> list[Any]:
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    status = obj.get("status") or {}
    selector = text.labels(dig(obj, "spec", "template", "spec", "nodeSelector"))
    counts = [status.get(name, 0) for name in names]
    return [name_of(obj), *counts, selector, _age(obj, now), *_wide(obj)]


def _job(obj: JsonObject, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    done = status.get("succeeded", 0)
    parallel = spec.get("parallelism") or 0
    ratio = f"{done}/1" + (f" of {parallel}" if parallel > 1 else "")
    if spec.get("completions") is not None:
        ratio = f"{done}/{spec['completions']}"
    duration = ""
    if status.get("startTime"):
        end = parse_timestamp(status["completionTime"]) if status.get("completionTime") else now
        duration = text.human_duration(end - parse_timestamp(status["startTime"]))
    true = {c["type"] for c in status.get("conditions") or () if c.get("status") == "True"}
    state = next((s for s in ("Complete", "Failed") if s in true), "")
    if not state and dig(obj, "metadata", "deletionTimestamp"):
        state = "Terminating"
    state = state or ("Suspended" if "Suspended" in true else "Running")
    return [name_of(obj), state, ratio, duration, _age(obj, now), *_wide(obj)]


def _cron_job(obj: JsonObject, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    last = status.get("lastScheduleTime")
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or "<none>",
        str(spec.get("suspend") or False),
        len(status.get("active") or ()),
        text.since(last, now) if last else "<none>",
        _age(obj, now),
        *text.containers(dig(spec, "jobTemplate", "spec", "template")),
        render(dig(spec, "jobTemplate", "spec", "selector")),
    ]


def _service(obj: JsonObject, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    external = ",".join(spec.get("externalIPs") or ()) or "<none>"
    if kind == "LoadBalancer":
        ingress = dig(obj, "status", "loadBalancer", "ingress") or []
        given = [point.get("ip") or point.get("hostname") or "" for point in ingress]
        external = ",".join([*given, *(spec.get("externalIPs") or ())]) or "<pending>"
    elif kind == "ExternalName":
        external = spec.get("externalName", "")
    return [
        name_of(obj),
        kind,
        (spec.get("clusterIPs") or ["<none>"])[0],
        external,
        text.service_ports(spec.get("ports") or ()),
        _age(obj, now),
        text.labels(spec.get("selector")),
    ]


def _ingress(obj: JsonObject, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    points = dig(obj, "status", "loadBalancer", "ingress") or []
    address = ",".join(point.get("ip") or point.get("hostname") or "" for point in points)
    return [
        name_of(obj),
        spec.get("ingressClassName") or "<none>",
        text.at_most_three(hosts, "*"),
        address if len(address) <= 16 else address[:13] + "...",
        "80, 443" if spec.get("tls") else "80",
        _age(obj, now),
    ]


def _endpoints(obj: JsonObject, now: float) -> list[Any]:
    found = []
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or [{}]:
            for address in subset.get("addresses") or ():
                suffix = f":{port['port']}" if port else ""
                found.append(address["ip"] + suffix)
    return [name_of(obj), text.at_most_three(found, "<none>"), _age(obj, now)]


def _endpoint_slice(obj: JsonObject, now: float) -> list[Any]:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    found = [a for point in obj.get("endpoints") or () for a in point.get("addresses") or ()]
    shown = [text.at_most_three(ports, "<unset>"), text.at_most_three(found, "<unset>")]
    return [name_of(obj), obj.get("addressType", ""), *shown, _age(obj, now)]


def _node(obj: JsonObject, now: float) -> list[Any]:
    conditions = dig(obj, "status", "conditions") or []
    ready = next((c for c in conditions if c.get("type") == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    if dig(obj, "spec", "unschedulable"):
        state += ",SchedulingDisabled"
    labels = obj["metadata"].get("labels") or {}
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))
    info = dig(obj, "status", "nodeInfo") or {}
    addresses = {a["type"]: a["address"] for a in dig(obj, "status", "addresses") or ()}
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"
    return [
        name_of(obj),
        state,
        ",".join(role for role in roles if role) or "<none>",
        _age(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"),
        addresses.get("ExternalIP", "<none>"),
        info.get("osImage") or "<unknown>",
        kernel,
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _phase(obj: JsonObject) -> str:
    if dig(obj, "metadata", "deletionTimestamp"):
        return "Terminating"
    return dig(obj, "status", "phase") or ""


def _claim(obj: JsonObject, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        name_of(obj),
        _phase(obj),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        text.access_modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        _age(obj, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _volume(obj: JsonObject, now: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef")
    return [
        name_of(obj),
        (spec.get("capacity") or {}).get("storage", "0"),
        text.access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason", ""),
        _age(obj, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _storage_class(obj: JsonObject, now: float) -> list[Any]:
    marks = obj["metadata"].get("annotations") or {}
    default = marks.get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        name_of(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        obj.get("allowVolumeExpansion", False),
        _age(obj, now),
    ]


def _ingress_class(obj: JsonObject, now: float) -> list[Any]:
    marks = obj["metadata"].get("annotations") or {}
    default = marks.get("ingressclass.kubernetes.io/is-default-class") == "true"
    parameters = dig(obj, "spec", "parameters")
    shown = "<none>"
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    controller = dig(obj, "spec", "controller") or ""
    return [name_of(obj) + (" (default)" if default else ""), controller, shown, _age(obj, now)]


def _binding(obj: JsonObject, now: float) -> list[Any]:
    role = obj.get("roleRef") or {}
    found: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        shown = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            shown = f"{subject.get('namespace', '')}/{shown}"
        found.setdefault(subject.get("kind", ""), []).append(shown)
    listed = [", ".join(found[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [name_of(obj), f"{role.get('kind')}/{role.get('name')}", _age(obj, now), *listed]


def _quota(obj: JsonObject, now: float) -> list[Any]:
    hard, used = dig(obj, "status", "hard") or {}, dig(obj, "status", "used") or {}
    parts: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(hard):
        parts[name.startswith("limits.")].append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [name_of(obj), ", ".join(parts[False]), ", ".join(parts[True]), _age(obj, now)]


def _budget(obj: JsonObject, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    bounds = [
        "N/A" if spec.get(field) is None else str(spec[field])
        for field in ("minAvailable", "maxUnavailable")
    ]
    allowed = dig(obj, "status", "disruptionsAllowed") or 0
    return [name_of(obj), *bounds, allowed, _age(obj, now)]


def _autoscaler(obj: JsonObject, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    target = spec.get("scaleTargetRef") or {}
    metrics = []
    for metric in spec.get("metrics") or ():
        source = metric.get("resource") or {}
        goal = source.get("target") or {}
        wanted = goal.get("averageUtilization")
        shown = f"{wanted}%" if wanted is not None else goal.get("averageValue", "<auto>")
        metrics.append(f"{source.get('name', 'metric')}: <unknown>/{shown}")
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        ", ".join(metrics) or "<none>",
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else "<unset>",
        spec.get("maxReplicas", 0),
        dig(obj, "status", "currentReplicas") or 0,
        _age(obj, now),
    ]


def _request(obj: JsonObject, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    kinds = [c.get("type") for c in dig(obj, "status", "conditions") or ()]
    state = next((k for k in ("Denied", "Approved") if k in kinds), "Pending")
    if dig(obj, "status", "certificate"):
        state += ",Issued"
    lasting = spec.get("expirationSeconds")
    return [
        name_of(obj),
        _age(obj, now),
        spec.get("signerName") or "<none>",
        spec.get("username", ""),
        text.human_duration(lasting) if lasting else "<none>",
        state,
    ]


def _revision(obj: JsonObject, now: float) -> list[Any]:
    owners = obj["metadata"].get("ownerReferences") or ()
    owner = next((o for o in owners if o.get("controller")), None)
    shown = "<none>"
    if owner:
        group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
        kind = owner["kind"].lower() + (f".{group}" if group else "")
        shown = f"{kind}/{owner['name']}"
    return [name_of(obj), shown, obj.get("revision", 0), _age(obj, now)]


_WORKLOAD = "Containers+ Images+ Selector+"
_BINDING = "Name Role Age Users+ Groups+ ServiceAccounts+"
_HOOK = "Name Webhooks:integer Age"

ROWS: dict[tuple[str, str], tuple[str, Row]] = {
    ("", "pods"): (
        "Name Ready Status Restarts Age IP+ Node+ Nominated_Node+ Readiness_Gates+",
        pod_row,
    ),
    ("", "events"): (
        "Last_Seen Type Reason Object Subobject+ Source+ Message First_Seen+ Count+ Name+",
        event_row,
    ),
    ("", "namespaces"): ("Name Status Age", _named(_path("status", "phase"), _age)),
    ("", "nodes"): (
        (
            "Name Status Roles Age Version Internal-IP+ External-IP+ OS-Image+ Kernel-Version+ "
            "Container-Runtime+"
        ),
        _node,
    ),
    ("", "services"): ("Name Type Cluster-IP External-IP Port(s) Age Selector+", _service),
    ("", "endpoints"): ("Name Endpoints Age", _endpoints),
    ("", "configmaps"): (
        "Name Data Age",
        lambda o, now: [
            name_of(o),
            len(o.get("data") or ()) + len(o.get("binaryData") or ()),
            _age(o, now),
        ],
    ),
    ("", "secrets"): ("Name Type Data Age", _named(_path("type"), _count("data"), _age)),
    ("", "serviceaccounts"): ("Name Age", _named(_age)),
    ("", "persistentvolumes"): (
        (
            "Name Capacity Access_Modes Reclaim_Policy Status Claim StorageClass "
            "VolumeAttributesClass Reason Age VolumeMode+"
        ),
        _volume,
    ),
    ("", "persistentvolumeclaims"): (
        (
            "Name Status Volume Capacity Access_Modes StorageClass VolumeAttributesClass Age "
            "VolumeMode+"
        ),
        _claim,
    ),
    ("", "resourcequotas"): ("Name Request Limit Age", _quota),
    ("", "replicationcontrollers"): (
        f"Name Desired:integer Current:integer Ready:integer Age {_WORKLOAD}",
        _replica_set,
    ),
    ("apps", "deployments"): (f"Name Ready Up-to-date Available Age {_WORKLOAD}", _deployment),
    ("apps", "replicasets"): (
        f"Name Desired:integer Current:integer Ready:integer Age {_WORKLOAD}",
        _replica_set,
    ),
    ("apps", "statefulsets"): ("Name Ready Age Containers+ Images+", _stateful_set),
    ("apps", "daemonsets"): (
        (
            "Name Desired:integer Current:integer Ready:integer Up-to-date:integer "
            f"Available:integer Node_Selector Age {_WORKLOAD}"
        ),
        _daemon_set,
    ),
    ("apps", "controllerrevisions"): ("Name Controller Revision Age", _revision),
    ("batch", "jobs"): (f"Name Status Completions Duration Age {_WORKLOAD}", _job),
    ("batch", "cronjobs"): (
        "Name Schedule Timezone Suspend:boolean Active:integer Last_Schedule Age " + _WORKLOAD,
        _cron_job,
    ),
    ("networking.k8s.io", "ingresses"): ("Name Class Hosts Address Ports Age", _ingress),
    ("networking.k8s.io", "ingressclasses"): ("Name Controller Parameters Age", _ingress_class),
    ("networking.k8s.io", "networkpolicies"): (
        "Name Pod-Selector Age",
        _named(lambda o, _: render(dig(o, "spec", "podSelector")), _age),
    ),
    ("discovery.k8s.io", "endpointslices"): (
        "Name AddressType Ports Endpoints Age",
        _endpoint_slice,
    ),
    ("coordination.k8s.io", "leases"): (
        "Name Holder Age",
        _named(_path("spec", "holderIdentity"), _age),
    ),
    ("rbac.authorization.k8s.io", "rolebindings"): (_BINDING, _binding),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (_BINDING, _binding),
    ("policy", "poddisruptionbudgets"): (
        "Name Min_Available Max_Unavailable Allowed_Disruptions:integer Age",
        _budget,
    ),
    ("autoscaling", "horizontalpodautoscalers"): (
        "Name Reference Targets MinPods MaxPods Replicas Age",
        _autoscaler,
    ),
    ("storage.k8s.io", "storageclasses"): (
        "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        _storage_class,
    ),
    ("scheduling.k8s.io", "priorityclasses"): (
        "Name Value:integer Global-Default:boolean Age PreemptionPolicy",
        _named(
            _path("value", default=0),
            _path("globalDefault", default=False),
            _age,
            _path("preemptionPolicy"),
        ),
    ),
    ("node.k8s.io", "runtimeclasses"): ("Name Handler Age", _named(_path("handler"), _age)),
    ("certificates.k8s.io", "certificatesigningrequests"): (
        "Name Age SignerName Requestor RequestedDuration Condition",
        _request,
    ),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): (
        _HOOK,
        _named(_count("webhooks"), _age),
    ),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): (
        _HOOK,
        _named(_count("webhooks"), _age),
    ),
}
"""Columns (`+` marks wide ones, `_` a space, `:type` anything but a string) and cells by kind."""
