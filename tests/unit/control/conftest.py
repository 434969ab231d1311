"""A store on a fresh SQLite file, and clocks that the test moves."""

import pytest

from pipeops.control.store.opening import open_store


class MovingClock:
    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def wall():
    return MovingClock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/data/pipeops.db"


@pytest.fixture
async def store(url, wall):
    opened = await open_store(url, now=wall)
    yield opened
    await opened.close()


@pytest.fixture
def ticks():
    """Return the monotonic clock."""
    clock = MovingClock()
    clock.time = 1000.0
    return clock
