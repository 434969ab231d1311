"""Fixtures of the chaos tests: the product behind a network that can fail, and the table of what happened."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.bench import Bench
from tests.support.apiserver import ApiServer
from tests.support.processes import progress

ROUNDS = pytest.StashKey[int]()
TABLE = pytest.StashKey[dict[tuple[str, str], list[tuple[str, float]]]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" in metafunc.fixturenames:
        rounds = int(os.environ.get("PIPEOPS_TEST_CHAOS_ROUNDS", "2"))
        metafunc.parametrize("turn", range(1, rounds + 1))


@pytest.fixture(scope="session")
def bench(apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(apiserver, tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture
def healthy(bench: Bench) -> Bench:
    """All processes up, whatever the test before left behind."""
    bench.heal()
    return bench


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """(fault, what is measured) → (outcome, seconds) of every round; printed at the end."""
    return pytestconfig.stash.setdefault(TABLE, defaultdict(list))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A long run says at once what failed, not only at its end."""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        progress(f"FAILED {report.nodeid} ({report.when}): {getattr(crash, 'message', '')[:2000]}")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    rows = config.stash.get(TABLE, {})
    if not rows:
        return
    lines = [
        "| fault | flow or measure | rounds | outcomes | median | worst |",
        "|---|---|---|---|---|---|",
    ]
    for (fault, what), results in sorted(rows.items()):
        outcomes = defaultdict(int)
        for outcome, _ in results:
            outcomes[outcome] += 1
        said = ", ".join(f"{outcome}: {times}" for outcome, times in sorted(outcomes.items()))
        seconds = sorted(each for _, each in results)
        lines.append(
            f"| {fault} | {what} | {len(results)} | {said} | {seconds[len(seconds) // 2]:.2f} s | {seconds[-1]:.2f} s |"
        )
    terminalreporter.section("faults and what came of them")
    for line in lines:
        terminalreporter.write_line(line)
    if target := os.environ.get("PIPEOPS_TEST_CHAOS_TABLE"):
        Path(target).write_text("\n".join(lines) + "\n")
