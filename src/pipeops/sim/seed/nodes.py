"""The simulated machines."""

from collections.abc import Iterator

from pipeops.sim.discovery import VERSION
from pipeops.sim.objects import JsonObject, timestamp

NODES = ("sim-control-plane", "sim-worker-1", "sim-worker-2")
CONTROL_PLANE = NODES[0]
WORKERS = NODES[1:]
_CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
_HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "is posting ready status"),
)


def node_address(index: int) -> str:
    """The InternalIP of the node at a position of `NODES`."""
    return f"172.18.0.{index + 2}"


def _conditions(now: float) -> list[JsonObject]:
    moment = timestamp(now)
    return [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": f"kubelet {text}",
            "lastHeartbeatTime": moment,
            "lastTransitionTime": moment,
        }
        for kind, status, reason, text in _HEALTHY
    ]


def _node_info(name: str) -> JsonObject:
    return {
        "architecture": "amd64",
        "bootID": f"boot-{name}",
        "containerRuntimeVersion": "containerd://2.2.0",
        "kernelVersion": "6.12.0-sim",
        "kubeProxyVersion": "",
        "kubeletVersion": VERSION["gitVersion"],
        "machineID": f"machine-{name}",
        "operatingSystem": "linux",
        "osImage": "PipeOps Simulated Node",
        "systemUUID": f"system-{name}",
    }


def nodes(now: float) -> Iterator[JsonObject]:
    """One control plane and two workers, healthy."""
    capacity = {
        "cpu": "4",
        "ephemeral-storage": "100Gi",
        "hugepages-2Mi": "0",
        "memory": "8Gi",
        "pods": "110",
    }
    for index, name in enumerate(NODES):
        labels = {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
        }
        spec: JsonObject = {"podCIDR": f"10.244.{index}.0/24", "podCIDRs": [f"10.244.{index}.0/24"]}
        spec["providerID"] = f"sim://{name}"
        if name == CONTROL_PLANE:
            labels[_CONTROL_PLANE_LABEL] = ""
            spec["taints"] = [{"effect": "NoSchedule", "key": _CONTROL_PLANE_LABEL}]
        yield {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": spec,
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": node_address(index)},
                    {"type": "Hostname", "address": name},
                ],
                "allocatable": dict(capacity),
                "capacity": dict(capacity),
                "conditions": _conditions(now),
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "nodeInfo": _node_info(name),
            },
        }
