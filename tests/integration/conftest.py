"""Fixtures of the integration tests: the product in front of an API server that does as a test says."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.fakeapi import FakeApi
from tests.support.stack import Stack

CLUSTER = "fake"


@dataclass
class Product:
    """Control plane and agent as processes, and what is behind them; `token` may reach everything."""

    stack: Stack
    api: FakeApi
    token: str

    def check(self) -> None:
        """It still serves, and nothing left a traceback."""
        status, body = self.stack.request("GET", f"/k8s/{CLUSTER}/version", token=self.token)
        assert (status, body["gitVersion"]) == (200, "v1.33.0"), body
        for log in self.stack.directory.glob("*.log"):
            assert "Traceback" not in log.read_text(errors="replace"), log


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    directory = tmp_path_factory.mktemp("product")
    with FakeApi() as api, Stack(directory) as stack:
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        stack.start_agent(CLUSTER, stack.add_cluster(CLUSTER), kubeconfig)
        yield Product(stack, api, stack.admin_token)
