"""Plants one bug at a time into a copy of the mux package; the property tests must notice each.

    python tests/property/plant_bugs.py [NAME ...]

A suite that has never failed proves nothing. The first seven are the bugs that a naive test with
real windows missed or nearly missed: the properties alone must find them. The others are mistakes
that were easy to make in this code; there the unit tests help.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROPERTIES = tuple(
    ROOT / "tests" / "property" / name
    for name in (
        "test_mux_pair.py",
        "test_mux_hostile.py",
        "test_mux_bytes.py",
        "test_mux_cross_product.py",
    )
)
UNITS = (ROOT / "tests" / "unit" / "protocol" / "mux",)


@dataclass(frozen=True)
class Bug:
    """Replacements in files of `protocol/mux`; each text must be there exactly once."""

    name: str
    edits: tuple[tuple[str, str, str], ...]


SEVEN = (
    Bug(
        "sender ignores its window",
        (("stream.py", "            size <= self.send_left\n", "            size >= 0\n"),),
    ),
    Bug(
        "credit returned twice",
        (("windows.py", "return credit + growth", "return 2 * credit + growth"),),
    ),
    Bug(
        "data after FIN accepted",
        (
            ("session.py", "                or not RECEIVES[stream.state]\n", ""),
            (
                "stream_state.py",
                "RECEIVES: Final = _live(Input.RECEIVE_DATA)",
                "RECEIVES: Final = (False, True, True, True, False, False)",
            ),
            (
                "session.py",
                "stream.state = state = AFTER_RECEIVE_FIN[stream.state]",
                "stream.state = state = max(stream.state, AFTER_RECEIVE_FIN[stream.state])",
            ),
        ),
    ),
    Bug(
        "receiver never debits its window",
        (
            ("session.py", "            stream.receive_left -= length\n", ""),
            ("session.py", "            stream.receive_left -= size\n", ""),
        ),
    ),
    Bug(
        "writer never woken",
        (("stream.py", "if backlog.blocked and", "if backlog.blocked is None and"),),
    ),
    Bug(
        "partial frame forgotten",
        (("session.py", "self._partial = bytes(data[position:])", "self._partial = b''"),),
    ),
    Bug(
        "short body accepted",
        (("session.py", "                or position > end\n", ""),),
    ),
)

MORE = (
    Bug(
        "waiting stream never scheduled after a window update",
        (
            (
                "stream.py",
                "        if backlog is not None and not backlog.scheduled:\n",
                "        if backlog is not None and backlog.scheduled:\n",
            ),
        ),
    ),
    Bug(
        "end of stream overtakes waiting bytes",
        (
            (
                "stream.py",
                "fin = backlog.fin and size == len(data) and not",
                "fin = backlog.fin and not",
            ),
        ),
    ),
    Bug(
        "direct frame overtakes waiting bytes",
        (("stream.py", "            and self.backlog is None\n", ""),),
    ),
    Bug(
        "queued end of stream forgotten",
        (
            ("stream.py", "if not data and (fin or not backlog.fin):", "if not data:"),
            ("stream.py", "        backlog.fin = fin\n", ""),
        ),
    ),
    Bug(
        "driver not woken after a pause",
        (
            (
                "outbound.py",
                "        self.awake = False\n        if self.scheduler.waiting or len(",
                "        self.awake = False\n        if self.scheduler.waiting and len(",
            ),
        ),
    ),
    Bug(
        "grown window never given back",
        (
            (
                "outbound.py",
                "        if windows.receive_size != self.initial_window:\n",
                "        if windows.receive_size < self.initial_window:\n",
            ),
            (
                "session.py",
                "                    if stream.receive_size != self.initial_window:\n",
                "                    if stream.receive_size < self.initial_window:\n",
            ),
            (
                "stream.py",
                "                    if self.receive_size != session.initial_window:\n",
                "                    if self.receive_size < session.initial_window:\n",
            ),
        ),
    ),
    Bug(
        "window grows beyond the session's budget",
        (
            (
                "windows.py",
                "size, self._max_window - size, self.spare)",
                "size, self._max_window - size)",
            ),
        ),
    ),
    Bug(
        "waiting bytes of a reset stream stay counted",
        (("stream.py", "        self.session.pending_total -= self.pending\n", ""),),
    ),
    Bug(
        "RST after a clean end",
        (
            (
                "stream.py",
                "        if self.closed:\n            return\n        flags",
                "        if self.state == RESET:\n            return\n        self.session.live[self.id] = self\n        flags",
            ),
        ),
    ),
    Bug(
        "an id may be opened again after its end",
        (
            (
                "stream_ids.py",
                "        if stream_id >= expected:\n",
                "        if stream_id >= expected or not stream_id in self._skipped:\n",
            ),
        ),
    ),
    Bug(
        "one stream keeps its turn",
        (("scheduler.py", "                waiting.append(speaker)\n", "                pass\n"),),
    ),
)


def plant(bug: Bug, source: Path) -> None:
    """Edit the copy; a bug that does not fit the code any more is an error of this file."""
    for name, old, new in bug.edits:
        path = source / "pipeops" / "protocol" / "mux" / name
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{bug.name}: found {text.count(old)} times in {name}: {old!r}")
        path.write_text(text.replace(old, new))


def copy_with(bug: Bug | None, source: Path) -> None:
    """Copy what the suite needs, without compiled files: stale ones once hid a bug."""
    shutil.copytree(
        ROOT / "src" / "pipeops" / "protocol",
        source / "pipeops" / "protocol",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "src" / "pipeops" / name, source / "pipeops" / name)
    if bug is not None:
        plant(bug, source)


def survives(bug: Bug | None, suite: tuple[Path, ...] = PROPERTIES) -> tuple[bool, str]:
    """Run a suite on a copy with this bug; answers (passed, the first test that failed)."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        source = Path(folder) / "src"
        copy_with(bug, source)
        run = subprocess.run(
            [
                *(sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
                *("-o", "asyncio_default_fixture_loop_scope=function", "--tb=line"),
                *map(str, suite),
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(source), "HYPOTHESIS_PROFILE": "planted"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    if run.returncode not in (0, 1):
        raise SystemExit(f"the suite did not run:\n{run.stdout}\n{run.stderr}")
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED")]
    return run.returncode == 0, failed[0].split("::")[-1] if failed else ""


def main() -> None:
    """Print a table; exit 1 if a bug survived."""
    wanted = sys.argv[1:]
    bugs = [bug for bug in SEVEN + MORE if not wanted or bug.name in wanted]
    survived = []
    for bug in bugs:
        began = time.perf_counter()
        passed, test = survives(bug, PROPERTIES if bug in SEVEN else UNITS + PROPERTIES)
        seconds = time.perf_counter() - began
        print(
            f"| {bug.name} | {'SURVIVED' if passed else 'caught'} | {seconds:.0f} s | {test} |",
            flush=True,
        )
        if passed:
            survived.append(bug.name)
    if survived:
        raise SystemExit(f"{len(survived)} of {len(bugs)} planted bugs survived: {survived}")


if __name__ == "__main__":
    main()
