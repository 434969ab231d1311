"""A token bucket in a time that passes only by waiting."""

from pipeops.agent.ingress.pace import Pace


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_a_burst_is_free_and_the_rate_holds_afterwards() -> None:
    time = Time()
    pace = Pace(10.0, 20.0, now=lambda: time.now, sleep=time.sleep)
    for _ in range(20):
        await pace.take()
    assert time.now == 100.0
    for _ in range(30):
        await pace.take()
    assert round(time.now, 6) == 103.0


async def test_a_rest_gives_a_burst_back_and_no_more() -> None:
    time = Time()
    pace = Pace(10.0, 20.0, now=lambda: time.now, sleep=time.sleep)
    for _ in range(20):
        await pace.take()
    time.now += 3600
    begun = time.now
    for _ in range(20):
        await pace.take()
    assert time.now == begun
    await pace.take()
    assert round(time.now - begun, 6) == 0.1


async def test_more_than_a_burst_is_let_through_once_and_owed() -> None:
    time = Time()
    pace = Pace(2000.0, 12_000.0, now=lambda: time.now, sleep=time.sleep)
    await pace.take(20_000)
    assert time.now == 100.0
    await pace.take(500)
    assert round(time.now, 6) == 104.25
