"""24 hours of churn, compressed: what both processes hold at the end is what they held at the beginning."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.churn import Churn
from tests.support.processes import progress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("PIPEOPS_TEST_CHURN_ROUNDS", "2"))  # 100: the whole day
EACH_ROUND = {"reconnects": 100, "streams": 1000, "rotations": 10}
WARM_UP = 2  # rounds: caches, pools and the heap's holes fill
GROWTH = 1.05


@pytest.fixture
def churn(tmp_path: Path) -> Iterator[Churn]:
    with Churn(tmp_path) as running:
        yield running


def test_after_a_day_of_reconnects_streams_and_rotations_nothing_has_grown(churn: Churn) -> None:
    for _ in range(WARM_UP):
        churn.round(**EACH_ROUND)
    before = churn.figures()
    progress(f"warm: {before}")
    reconnects, streams, rotations = churn.reconnects, churn.streams, churn.rotations
    for turn in range(1, ROUNDS + 1):
        churn.round(**EACH_ROUND)
        if turn % 10 == 0:
            progress(f"{churn.reconnects} reconnects, {churn.streams} streams: {churn.figures()}")
    after = churn.figures()
    progress(f"after {ROUNDS} rounds: {after}; {churn.refused} requests met a tunnel that was down")
    assert churn.reconnects - reconnects == ROUNDS * EACH_ROUND["reconnects"]
    assert churn.streams - streams >= ROUNDS * EACH_ROUND["streams"]
    assert churn.rotations - rotations == ROUNDS * EACH_ROUND["rotations"]
    for process, held in before.items():
        for what in ("resident_kib", "tasks", "descriptors"):
            assert after[process][what] <= held[what] * GROWTH, (process, what, before, after)
        for what in ("streams", "lanes"):
            assert after[process][what] == held[what], (process, what, before, after)
