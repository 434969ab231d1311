"""What a fresh simulated cluster holds: nodes, namespaces, roles, demo workloads."""

from collections.abc import Iterator
from importlib import resources as package_files
from typing import Any

import yaml

from pipeops.sim.access.defaults import bootstrap
from pipeops.sim.cluster import SimulatedCluster

AGENT_NAMESPACE = "pipeops-system"
AGENT_ACCOUNT = "pipeops-agent"


def _documents(name: str) -> Iterator[dict[str, Any]]:
    text = package_files.files("pipeops.sim.seed").joinpath(name).read_text()
    yield from yaml.safe_load_all(text)


def seed(cluster: SimulatedCluster, *, workloads: bool = True) -> None:
    """Fill an empty cluster."""
    for obj in bootstrap():
        cluster.install(obj)
    for obj in _documents("base.yaml"):
        cluster.install(obj)
    if workloads:
        for obj in _documents("demo.yaml"):
            cluster.install(obj)
