"""Budgets, results and how they are printed."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

LESS, MORE = "≤", "≥"


@dataclass(frozen=True)
class Budget:
    """A number to hold: what a result must reach, and what it should."""

    sign: str
    must: float
    goal: float

    def verdict(self, value: float) -> str:
        """`goal`, `must` or `FAIL`."""
        reach = value.__le__ if self.sign == LESS else value.__ge__
        return "goal" if reach(self.goal) else "must" if reach(self.must) else "FAIL"


@dataclass
class Result:
    """One measured number.

    Attributes:
        measure: which measure it belongs to.
        name: what the number is.
        topology: the hops it went through, and which legs were TLS.
        value: the number, in `unit`; ratios have the unit `×`.
        budget: what it is held against; None for information only.
        rounds: how many rounds it is the median of.
        detail: the absolute numbers behind a ratio.
    """

    measure: str
    name: str
    topology: str
    value: float
    unit: str
    budget: Budget | None = None
    rounds: int = 1
    detail: dict[str, object] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`goal`, `must`, `FAIL` or empty."""
        return self.budget.verdict(self.value) if self.budget else ""


def machine() -> dict[str, object]:
    """Where the numbers come from."""
    return {
        "cpus": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def as_json(results: Iterable[Result], before: dict[str, object]) -> str:
    """Everything, for machines."""
    rows = [asdict(result) | {"verdict": result.verdict} for result in results]
    return json.dumps({"machine": before, "results": rows}, indent=1, ensure_ascii=False)


def table(results: Iterable[Result]) -> str:
    """Everything that matters, for people; GitHub's table syntax."""
    header = ["measure", "topology, TLS legs", "rounds", "result", "must", "goal", "", "figures"]
    rows = [header, ["---"] * len(header)]
    for r in results:
        must = goal = ""
        if r.budget:
            must = f"{r.budget.sign} {r.budget.must:g}"
            goal = f"{r.budget.sign} {r.budget.goal:g}"
        detail = ", ".join(f"{key} {_short(value)}" for key, value in r.detail.items())
        figure = f"{_short(r.value)} {r.unit}".strip()
        rows.append([r.name, r.topology, str(r.rounds), figure, must, goal, r.verdict, detail])
    widths = [max(len(row[i]) for row in rows) for i in range(len(header) - 1)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        lines.append(f"| {' | '.join([*cells, row[-1]])} |")
    return "\n".join(lines)


def _short(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
