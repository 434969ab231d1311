"""The commands of the documentation, run as a reader would: `make up` in one terminal, the rest in another."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.markdown import Block, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if any(block.runs for block in blocks(page))
]
UP_DEADLINE = 240  # seconds; the first run installs its environment
BLOCK_DEADLINE = 60


class Terminal:
    """One shell: its folder, and the variables that blocks have exported so far."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._exported = folder.parent / "exported"
        self._exported.touch()

    def run(self, block: Block) -> None:
        script = f"set -euo pipefail\nsource '{self._exported}'\n{block.script}\nexport -p > '{self._exported}'\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_DEADLINE,
            check=False,
        )
        where = f"{block.page.relative_to(ROOT)}:{block.line}"
        assert done.returncode == 0, (
            f"{where} ended with {done.returncode}:\n{block.script}\n{done.stdout}"
        )


def environment(home: Path) -> dict[str, str]:
    """What a fresh account has: nothing of the developer's own clusters or state."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIPEOPS_", "KUBE", "XDG_", "MAKE", "PYTEST"))
    }
    home.mkdir(exist_ok=True)
    return {**kept, "HOME": str(home), "PIPEOPS_HOME": str(home / "state")}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`make up`, as the README's first command says, in an empty home; yields its environment."""
    folder = tmp_path_factory.mktemp("up")
    variables = environment(folder / "home")
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            ["make", "up"],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + UP_DEADLINE
        while "Try next" not in output.read_text():
            assert process.poll() is None, f"make up ended:\n{output.read_text()}"
            assert time.monotonic() < deadline, f"make up is not ready:\n{output.read_text()}"
            time.sleep(0.2)
        yield variables
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    assert "everything is stopped" in output.read_text()


@pytest.mark.slow
@pytest.mark.timeout(UP_DEADLINE + 240)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of(page: Path, up: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    folder.mkdir()
    # The pages say "in the checkout"; files that their commands write do not belong there.
    (folder / ".venv").symlink_to(ROOT / ".venv")
    path = f"{ROOT / '.venv/bin'}:{up['PATH']}"
    terminal = Terminal(folder, {**up, "PATH": path})
    kubectl = shutil.which("kubectl", path=path)
    left_out = 0
    for block in blocks(page):
        if block.mark == "run up":
            assert block.script == "make up", "the fixture runs exactly this"
        elif block.runs and block.mark.endswith("kubectl") and kubectl is None:
            left_out += 1
        elif block.runs:
            terminal.run(block)
    if left_out:
        pytest.skip(f"{left_out} blocks need kubectl, which is not there; the others ran")
