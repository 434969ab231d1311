"""Fills an empty cluster: nodes, namespaces, roles, the agent's installation, demo workloads."""

from collections.abc import Iterator
from importlib import resources as package_files

import yaml

from pipeops.sim.access.agent import agent_installation
from pipeops.sim.access.defaults import bootstrap
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.managed import Actor
from pipeops.sim.objects import JsonObject, namespace_of
from pipeops.sim.seed.nodes import nodes

MANAGER = "kube-apiserver"


def _documents(name: str) -> Iterator[JsonObject]:
    text = package_files.files("pipeops.sim.seed").joinpath(name).read_text()
    yield from yaml.safe_load_all(text)


def _objects(now: float, *, workloads: bool) -> Iterator[JsonObject]:
    yield from bootstrap()
    yield from nodes(now)
    yield from _documents("base.yaml")
    yield from agent_installation()
    if workloads:
        yield from _documents("demo.yaml")


def seed(cluster: SimulatedCluster, *, workloads: bool = True) -> None:
    """Put in what the cluster starts with; `workloads` adds the demo.

    Pods come later, from the controllers.
    """
    for obj in _objects(cluster.clock.now(), workloads=workloads):
        resource = cluster.writer.resource(obj["apiVersion"], obj["kind"])
        namespace = namespace_of(obj)
        actor = Actor(MANAGER, resource.group_version)
        cluster.writer.create(resource, namespace, obj, actor)
