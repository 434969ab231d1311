"""Fills an empty cluster: nodes, namespaces, roles, the agent's installation, demo workloads."""

from collections.abc import Iterator
from importlib import resources as package_files

import yaml

from pipeops.sim.access.agent import agent_installation
from pipeops.sim.access.defaults import bootstrap
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.objects import JsonObject
from pipeops.sim.seed.nodes import nodes


def _documents(name: str) -> Iterator[JsonObject]:
    text = package_files.files("pipeops.sim.seed").joinpath(name).read_text()
    yield from yaml.safe_load_all(text)


def seed(cluster: SimulatedCluster, *, workloads: bool = True) -> None:
    """Put in what the cluster starts with; `workloads` adds the demo."""
    for obj in bootstrap():
        cluster.install(obj)
    for obj in _documents("base.yaml"):
        cluster.install(obj)
    for obj in nodes(cluster.clock.now()):
        cluster.install(obj)
    for obj in agent_installation():
        cluster.install(obj)
    if workloads:
        for obj in _documents("demo.yaml"):
            cluster.install(obj)
