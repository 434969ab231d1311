"""Fixtures of the end-to-end tests: the product in front of a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiserver import ApiServer
from tests.support.stack import Stack


@pytest.fixture(scope="session")
def stack(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Control plane and agent in front of the real API server, as cluster `real`."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(directory) as running:
        running.start_agent("real", running.add_cluster("real"), apiserver.agent_kubeconfig)
        yield running
