"""Times as messages carry them, the same as `format_time` gives."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.messages.envelope import format_time
from pipeops.protocol.messages.stamps import Stamps

START = datetime(2026, 6, 15, 23, 59, 58, 999_990, tzinfo=UTC)
STEPS = st.one_of(st.integers(-3, 12), st.integers(-3_000_000, 3_000_000))


@given(st.lists(STEPS))
def test_a_clock_that_goes_on_or_back_reads_as_ever(steps: list[int]) -> None:
    now = [START]
    stamp = Stamps(lambda: now[0])
    for microseconds in steps:
        now[0] += timedelta(microseconds=microseconds)
        assert stamp() == format_time(now[0]).encode()


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, ":58Z"), (500_000, ":58.5Z"), (10, ":58.00001Z"), (1, ":58.000001Z")]
)
def test_trailing_zeros_go(fraction: int, text: str) -> None:
    moment = START.replace(microsecond=fraction)
    assert Stamps(lambda: moment)().endswith(text.encode())


def test_other_zones_are_told_in_utc() -> None:
    moment = START.astimezone(timezone(timedelta(hours=2)))
    assert Stamps(lambda: moment)() == b"2026-06-15T23:59:58.99999Z"


def test_a_time_without_a_zone_is_none() -> None:
    with pytest.raises(LocalProtocolError):
        Stamps(lambda: START.replace(tzinfo=None))()
