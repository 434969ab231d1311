"""What a node or a pod counts as."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from pipeops.agent.cluster.distribution import Origin, origin_of
from pipeops.agent.cluster.objects import Amounts, Container, Node, Pod
from pipeops.kube.quantity import milli, whole

PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_FINISHED: Final = frozenset(("Succeeded", "Failed"))
_NONE: Final = Amounts()


class Sums(NamedTuple):
    """Amounts added up: millicores, bytes, pods."""

    cpu: int = 0
    memory: int = 0
    pods: int = 0


class NodeShape(NamedTuple):
    """A node's part of the figures."""

    ready: bool
    schedulable: bool
    capacity: Sums
    allocatable: Sums
    kubelet: str
    runtime: str
    platform: str
    origin: Origin


class PodShape(NamedTuple):
    """A pod's part of the figures: its phase, and what it requests while it holds a place on a node."""

    phase: str
    cpu: int
    memory: int


def node_shape(node: Node) -> NodeShape:
    """Return what a node counts as; amounts that are no quantities count as nothing."""
    status, spec = node.status, node.spec
    info = status.node_info if status is not None else None
    conditions = (status.conditions if status is not None else None) or ()
    return NodeShape(
        ready=any(each.type == "Ready" and each.status == "True" for each in conditions),
        schedulable=not (spec is not None and spec.unschedulable),
        capacity=_sums(status.capacity if status is not None else None),
        allocatable=_sums(status.allocatable if status is not None else None),
        kubelet=info.kubelet_version[:64] if info is not None else "",
        runtime=info.container_runtime_version[:64] if info is not None else "",
        platform=f"{info.operating_system}/{info.architecture}"[:64] if info is not None else "",
        origin=origin_of(
            spec.provider_id if spec is not None else "",
            node.metadata.labels or {},
            info.kubelet_version if info is not None else "",
            info.os_image if info is not None else "",
        ),
    )


def pod_shape(pod: Pod) -> PodShape:
    """Return what a pod counts as. Its request is the scheduler's: containers and sidecars, or the largest start-up step."""
    phase = pod.status.phase if pod.status is not None else ""
    if phase not in PHASES:
        phase = "Unknown"
    spec = pod.spec
    if spec is None or not spec.node_name or phase in _FINISHED:
        return PodShape(phase, 0, 0)
    cpu, memory = _added(spec.containers or ())
    beside_cpu = beside_memory = peak_cpu = peak_memory = 0
    for step in spec.init_containers or ():
        step_cpu, step_memory = _request(step)
        peak_cpu = max(peak_cpu, beside_cpu + step_cpu)
        peak_memory = max(peak_memory, beside_memory + step_memory)
        if step.restart_policy == "Always":  # a sidecar: it stays while all that follows runs
            beside_cpu += step_cpu
            beside_memory += step_memory
    cpu, memory = max(cpu + beside_cpu, peak_cpu), max(memory + beside_memory, peak_memory)
    whole_pod = spec.resources.requests if spec.resources is not None else None
    if whole_pod is not None:
        cpu = _milli(whole_pod.cpu) if whole_pod.cpu else cpu
        memory = _whole(whole_pod.memory) if whole_pod.memory else memory
    extra = spec.overhead or _NONE
    return PodShape(phase, cpu + _milli(extra.cpu), memory + _whole(extra.memory))


def _added(containers: Iterable[Container]) -> tuple[int, int]:
    cpu = memory = 0
    for container in containers:
        more_cpu, more_memory = _request(container)
        cpu += more_cpu
        memory += more_memory
    return cpu, memory


def _request(container: Container) -> tuple[int, int]:
    resources = container.resources
    if resources is None or resources.requests is None:
        return 0, 0
    return _milli(resources.requests.cpu), _whole(resources.requests.memory)


def _sums(amounts: Amounts | None) -> Sums:
    if amounts is None:
        return Sums()
    return Sums(_milli(amounts.cpu), _whole(amounts.memory), _whole(amounts.pods))


def _milli(text: str) -> int:
    try:
        return milli(text) if text else 0
    except ValueError:
        return 0


def _whole(text: str) -> int:
    try:
        return whole(text) if text else 0
    except ValueError:
        return 0
