"""A registry on a real store, with two clusters, and a domain name system in a dictionary."""

import pytest

from pipeops.control.routes.ownership import HostRule
from pipeops.control.routes.proofs import DomainProofs, LookupFailed
from pipeops.control.routes.registry import RouteRegistry
from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.control.routes.upkeep import RouteUpkeep
from pipeops.control.routes.wanted import ClusterRef


class Names:
    """A `TxtLookup`; names in `broken` cannot be looked up."""

    def __init__(self):
        self.records = {}
        self.broken = set()
        self.asked = []

    async def texts(self, name):
        self.asked.append(name)
        if name in self.broken:
            raise LookupFailed(name)
        return self.records.get(name, ())


@pytest.fixture
def route():
    def route(host="app.example.com", path="/", cluster="one", service="app", **more):
        key = RouteKey(host, path, more.pop("path_type", PathType.PREFIX))
        return Route(key, cluster, "default", service, 80, ingress="default/app", **more)

    return route


@pytest.fixture
async def one(store):
    return ClusterRef((await store.clusters.add("one")).id, "one")


@pytest.fixture
async def two(store):
    return ClusterRef((await store.clusters.add("two")).id, "two")


@pytest.fixture
def rule():
    return HostRule.FIRST_COME


@pytest.fixture
def registry(store, wall, rule):
    return RouteRegistry(store.routes, store.domains, rule=rule, now=wall)


@pytest.fixture
def names():
    return Names()


@pytest.fixture
def proofs(names, ticks):
    return DomainProofs(names, instance="here", now=ticks)


@pytest.fixture
def upkeep(registry, proofs, ticks):
    return RouteUpkeep(registry, proofs, now=ticks)
