"""How much a run does, and names of the paths that it measures."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Extent of a run.

    Attributes:
        rounds: each target is measured once per round, in turn; ratios are medians over rounds.
        seconds: length of one load run.
        quick: leave out what takes long.
        legs: which of plain and TLS to measure.
    """

    rounds: int
    seconds: float
    quick: bool
    legs: tuple[bool, ...]


def path_name(*, tls: bool) -> str:
    """The whole path, for the table."""
    if tls:
        return "client ═TLS═ edge ═TLS tunnel, 2 lanes═ agent ─ backend; ng1: client ═TLS═ nginx ─ backend"
    return "client ─ edge ─ tunnel, 2 lanes ─ agent ─ backend; ng1: client ─ nginx ─ backend"


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the per-round ratios."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
