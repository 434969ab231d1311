"""A simulated Kubernetes cluster, good enough for stock kubectl."""

from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.server import serve

__all__ = ["SimulatedCluster", "serve"]
