"""The measures by name: each takes the topology and a plan, and returns results."""

from collections.abc import Callable
from typing import Final

from bench.measures.footprint import agent_footprint
from bench.measures.plan import Plan
from bench.measures.small import small_get
from bench.report import Result
from bench.topology import Topology

MEASURES: Final[dict[str, Callable[[Topology, Plan], list[Result]]]] = {
    "small": small_get,
    "agent": agent_footprint,
}

__all__ = ["MEASURES", "Plan"]
