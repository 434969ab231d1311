"""Jittered exponential backoff as a pure iterator."""

import random
from collections.abc import Iterator
from typing import Self


class Backoff(Iterator[float]):
    """Endless delays in seconds: random, doubling in the mean, never above `cap`.

    The first delay is anywhere in 0…`first`, so that a fleet which lost its control plane at one
    instant does not come back at one instant; later ones lie in the upper half of a doubling range.
    It keeps no time and never sleeps: the caller does.
    """

    __slots__ = ("_attempts", "_cap", "_factor", "_first", "_rng")

    def __init__(
        self, rng: random.Random, *, first: float = 0.5, cap: float = 15.0, factor: float = 2.0
    ) -> None:
        if not 0 < first <= cap or factor < 1:
            raise ValueError("backoff needs 0 < first <= cap and factor >= 1")
        self._rng = rng
        self._first = first
        self._cap = cap
        self._factor = factor
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """Delays handed out since the start or the last `reset`."""
        return self._attempts

    def reset(self) -> None:
        """Start over: call it once the thing retried has worked for a while."""
        self._attempts = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> float:
        attempt = self._attempts
        self._attempts = attempt + 1
        if attempt == 0:
            return self._rng.uniform(0, self._first)
        # The exponent is bounded: after a weekend of failures a float would overflow.
        ceiling = min(self._cap, self._first * self._factor ** min(attempt, 64))
        return self._rng.uniform(ceiling / 2, ceiling)
