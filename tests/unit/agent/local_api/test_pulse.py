"""One timer for all streams, none without streams."""

import asyncio
from typing import Any

from pipeops.agent.local_api.pulse import Pulse


class Loop:
    """Timers that fire when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Any] = []

    def call_later(self, delay: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        loop = self

        class Handle:
            def cancel(self) -> None:
                if callback in loop.timers:
                    loop.timers.remove(callback)

        self.timers.append(callback)
        return Handle()  # type: ignore[return-value]

    def fire(self) -> None:
        timers, self.timers = self.timers, []
        for callback in timers:
            callback()


class Member:
    def __init__(self, pulse: Pulse, leave_at: int = 0) -> None:
        self.ages: list[int] = []
        self._pulse, self._leave_at = pulse, leave_at

    def on_second(self, age: int) -> None:
        self.ages.append(age)
        if age == self._leave_at:
            self._pulse.remove(self)


def test_members_are_called_with_their_age_while_there_are_any() -> None:
    loop = Loop()
    pulse = Pulse(loop)  # type: ignore[arg-type]
    assert not loop.timers
    first = Member(pulse)
    pulse.add(first)
    loop.fire()
    second = Member(pulse, leave_at=1)
    pulse.add(second)
    assert len(loop.timers) == 1
    loop.fire()
    loop.fire()
    assert (first.ages, second.ages) == ([1, 2, 3], [1])
    pulse.remove(first)
    pulse.remove(first)
    assert not loop.timers
    assert len(pulse) == 0
