"""The two servers, as handles with the same shape."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fixtures import apiserver
from tests.support.simulator import Simulator

__all__ = ["apiserver", "simulator"]


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """A simulated cluster without the demo."""
    directory: Path = tmp_path_factory.mktemp("sim")
    with Simulator(directory, "--empty") as running:
        yield running
        assert "Traceback" not in running.log
