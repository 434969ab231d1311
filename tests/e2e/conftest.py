"""Fixtures of the end-to-end tests: the product in front of a real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support.kubectl_flows")

from tests.support.apiserver import ApiServer  # noqa: E402 - after the line above
from tests.support.fixtures import apiserver, namespace  # noqa: E402
from tests.support.stack import Stack  # noqa: E402

__all__ = ["apiserver", "namespace", "stack"]


@pytest.fixture(scope="session")
def stack(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Control plane and agent in front of the real API server, as cluster `real`."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(directory) as running:
        running.start_agent("real", running.add_cluster("real"), apiserver.agent_kubeconfig)
        yield running
