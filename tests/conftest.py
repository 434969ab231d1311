"""What every test run shares: at its end, what was skipped and why."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# A busy machine is slow, not wrong: no example is judged by its time. tests/property has profiles of its own.
settings.register_profile("quick", deadline=None, max_examples=50)
settings.load_profile("quick")

pytest.register_assert_rewrite("tests.support.kubectl_flows", "tests.support.kubectl_matrix")

from tests.support.kubectl_matrix import row_of, table  # noqa: E402 - after the line above

# One real cluster for all layers of a run; its flows are tests, so their asserts explain themselves.
pytest_plugins = ["tests.support.fixtures"]

ROOT = Path(__file__).resolve().parent.parent


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def _layer(report: pytest.TestReport) -> str:
    """`tests/unit/…` is of the layer `unit`."""
    return Path(report.nodeid.partition("::")[0]).parent.relative_to("tests").parts[0]


def pytest_terminal_summary(terminalreporter) -> None:
    matrix = _matrix(terminalreporter)
    if matrix:
        terminalreporter.section("kubectl through the tunnel: flow × kubectl, backend")
        for line in table(matrix):
            terminalreporter.line(line)
    reasons = Counter(
        (_layer(report), _reason(report)) for report in terminalreporter.stats.get("skipped", [])
    )
    if not reasons:
        return
    terminalreporter.section("not run here, and why")
    for (layer, reason), count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count:4} of {layer}: {reason}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A program under test configures logs for its process; the next test must not notice."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def pytest_configure(config) -> None:
    # A test that reads the developer's own kubeconfig or state would pass here and fail elsewhere.
    for name in [key for key in os.environ if key.startswith("PIPEOPS_") and "_TEST_" not in key]:
        del os.environ[name]
    os.environ.pop("KUBECONFIG", None)


def _matrix(terminalreporter) -> dict[tuple[str, str], str]:
    """Outcome of each cell of the kubectl matrix that ran: column and row."""
    words = {"passed": "ok", "failed": "FAILED", "error": "FAILED"}
    results = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            column = dict(getattr(report, "user_properties", ())).get("column")
            if column is None or (outcome == "passed" and report.when != "call"):
                continue
            row = row_of(report.nodeid.rpartition("::")[2].partition("[")[0])
            reason = _reason(report) if outcome == "skipped" else ""
            results[column, row] = words.get(outcome, reason.partition(":")[0] or "skipped")
    return results
