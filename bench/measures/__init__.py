"""The measures by name: each takes the topology and a plan, and returns results."""

from collections.abc import Callable
from typing import Final

from bench.measures.against_go import against_go
from bench.measures.bodies import body_memory
from bench.measures.bulk import bulk
from bench.measures.dialects import dialects
from bench.measures.exec_echo import exec_echo
from bench.measures.fairness import beside_bulk, stalled_reader
from bench.measures.fleet import fleet
from bench.measures.footprint import agent_footprint
from bench.measures.ingresses import ingresses
from bench.measures.large_cluster import large_cluster
from bench.measures.plan import Plan
from bench.measures.public import public_gateway
from bench.measures.small import small_get
from bench.measures.wan import wan
from bench.measures.watches import watches
from bench.report import Result
from bench.topology import Topology

MEASURES: Final[dict[str, Callable[[Topology, Plan], list[Result]]]] = {
    "small": small_get,
    "go": against_go,
    "public": public_gateway,
    "dialects": dialects,
    "exec": exec_echo,
    "bulk": bulk,
    "beside-bulk": beside_bulk,
    "stalled": stalled_reader,
    "watches": watches,
    "wan": wan,
    "bodies": body_memory,
    "agent": agent_footprint,
    "large": large_cluster,
    "ingresses": ingresses,
    "fleet": fleet,
}

__all__ = ["MEASURES", "Plan"]
