"""What the tests of the PipeOps dialect's handlers share."""

from collections.abc import AsyncIterator

import pytest

from pipeops.runtime.tasks import OnError, TaskScope
from tests.unit.control.edge.l4.tls_server import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def scope() -> AsyncIterator[TaskScope]:
    async with TaskScope("test", on_error=OnError.CANCEL) as made:
        yield made
