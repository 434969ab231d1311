"""Pytest fixtures of the test kit; load them with `pytest_plugins` or import them into a conftest."""

import os
from collections.abc import Iterator

import pytest

from tests.support.apiserver import ApiServer
from tests.support.processes import progress
from tests.support.programs import find_programs


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """A running cluster with two stub nodes; skips, or fails if `PIPEOPS_TEST_REQUIRE_CLUSTER` is set, without binaries."""
    programs, reason = find_programs()
    if programs is None:
        message = f"no Kubernetes API server: {reason}"
        progress(message)
        if os.environ.get("PIPEOPS_TEST_REQUIRE_CLUSTER"):
            pytest.fail(message)
        pytest.skip(message)
    with ApiServer(programs, nodes=2) as server:
        yield server


@pytest.fixture
def namespace(apiserver: ApiServer) -> Iterator[str]:
    """A namespace of the test's own; its removal is started, not awaited."""
    name = apiserver.new_namespace()
    yield name
    apiserver.admin.delete(f"/api/v1/namespaces/{name}")
