"""Fixtures of the end-to-end tests: the product in front of a real API server and of the simulated one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.simulator import Simulator
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def stack(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Control plane and agent in front of the real API server, as cluster `real`."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(directory) as running:
        running.start_agent("real", running.add_cluster("real"), apiserver.agent_kubeconfig)
        yield running


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("sim")) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(scope="session")
def sim_stack(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Control plane and agent in front of the simulated cluster, as cluster `sim`."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        running.start_agent("sim", running.add_cluster("sim"), simulator.agent_kubeconfig)
        yield running


@pytest.fixture
def space(simulator: Simulator) -> Iterator[str]:
    """A namespace of the test's own."""
    name = simulator.new_namespace()
    yield name
    simulator.admin.delete(f"/api/v1/namespaces/{name}")
