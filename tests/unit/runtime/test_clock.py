from datetime import UTC

import pytest

from pipeops.runtime.clock import Clock
from tests.support.clock import FakeClock


def test_now_is_aware_utc_and_agrees_with_wall():
    clock = Clock()
    before = clock.wall()
    now = clock.now()
    assert now.tzinfo is UTC
    assert before <= now.timestamp() <= clock.wall()


def test_monotonic_does_not_go_back():
    clock = Clock()
    assert clock.monotonic() <= clock.monotonic()


def test_fake_clock_moves_only_when_told():
    clock = FakeClock()
    assert clock.monotonic() == clock.monotonic()
    clock.advance(2.5)
    assert clock.monotonic() == 1002.5
    assert clock.now().isoformat() == "2026-01-01T00:00:02.500000+00:00"


def test_fake_wall_may_jump_back_but_monotonic_may_not():
    clock = FakeClock()
    clock.jump_wall(-86_400)
    assert clock.now().isoformat() == "2025-12-31T00:00:00+00:00"
    assert clock.monotonic() == 1000.0
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1)
