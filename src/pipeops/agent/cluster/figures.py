"""Adds tallies up to the figures of a heartbeat."""

from collections import Counter
from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from pipeops.agent.cluster.objects import Node, Pod
from pipeops.agent.cluster.shapes import NodeShape, PodShape, Sums
from pipeops.agent.cluster.tally import Tally
from pipeops.protocol.messages.heartbeat import Amounts, ClusterFigures

#: Versions shown; a cluster in the middle of an upgrade has two or three.
MAX_KINDS = 16


def node_figures(tally: Tally[Node, NodeShape]) -> ClusterFigures:
    """Return the figures that come from nodes."""
    nodes = ready = unschedulable = 0
    capacity, allocatable = [0, 0, 0], [0, 0, 0]
    kubelets: Counter[str] = Counter()
    runtimes: Counter[str] = Counter()
    platforms: Counter[str] = Counter()
    distributions: Counter[str] = Counter()
    providers: Counter[str] = Counter()
    for shape, count in tally:
        nodes += count
        ready += count * shape.ready
        unschedulable += count * (not shape.schedulable)
        _add(capacity, shape.capacity, count)
        _add(allocatable, shape.allocatable, count)
        kubelets[shape.kubelet] += count
        runtimes[shape.runtime] += count
        platforms[shape.platform] += count
        distributions[shape.origin.distribution] += count
        providers[shape.origin.provider] += count
    return ClusterFigures(
        nodes=nodes,
        nodes_ready=ready,
        nodes_unschedulable=unschedulable,
        capacity=_amounts(capacity),
        allocatable=_amounts(allocatable),
        distribution=_most_common(distributions) or UNSET,
        provider=_most_common(providers) or UNSET,
        kubelets=_shown(kubelets),
        runtimes=_shown(runtimes),
        platforms=_shown(platforms),
    )


def pod_figures(tally: Tally[Pod, PodShape]) -> ClusterFigures:
    """Return the figures that come from pods."""
    phases: Counter[str] = Counter()
    cpu = memory = 0
    for shape, count in tally:
        phases[shape.phase] += count
        cpu += shape.cpu * count
        memory += shape.memory * count
    return ClusterFigures(
        pods=phases.total(),
        phases=dict(sorted(phases.items())),
        requested=Amounts(cpu_milli=cpu, memory_bytes=memory),
    )


def merged(parts: Iterable[ClusterFigures]) -> ClusterFigures:
    """Return figures with the members of all parts; later ones win."""
    known = {}
    for part in parts:
        for field in part.__struct_fields__:
            value = getattr(part, field)
            if value is not UNSET:
                known[field] = value
    return ClusterFigures(**known)


def percent(used: int, of: int) -> str:
    """Return a share as PipeOps control planes show it: `"37%"`."""
    return f"{round(100 * used / of)}%" if of > 0 else "0%"


def with_stale(figures: ClusterFigures, stale: list[str]) -> ClusterFigures:
    """Return the figures marked as possibly out of date."""
    return msgspec.structs.replace(figures, stale=stale or UNSET)


def _add(total: list[int], sums: Sums, count: int) -> None:
    for place, value in enumerate(sums):
        total[place] += value * count


def _amounts(total: list[int]) -> Amounts:
    return Amounts(cpu_milli=total[0], memory_bytes=total[1], pods=total[2])


def _most_common(names: Counter[str]) -> str:
    return max(sorted(names), key=names.__getitem__) if names else ""


def _shown(names: Counter[str]) -> dict[str, int]:
    largest = [(name, count) for name, count in names.most_common(MAX_KINDS) if name]
    return dict(sorted(largest))
