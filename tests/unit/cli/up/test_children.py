"""Children: their log, their end, and what is told about it."""

import asyncio
import os
import sys

import pytest

from pipeops.cli.failures import CliError
from pipeops.cli.up import children
from pipeops.cli.up.children import Child


@pytest.fixture
def make(tmp_path):
    def make(script):
        command = [sys.executable, "-c", script]
        return Child("program", command, tmp_path / "program.log", dict(os.environ))

    return make


async def test_a_child_that_ends_by_itself_is_reported_with_its_last_lines(make, tmp_path):
    child = make("import sys; print('one'); print('two', file=sys.stderr, flush=True); sys.exit(3)")
    with pytest.raises(CliError, match="program ended with exit code 3") as caught:
        await child.run()
    assert set(caught.value.detail) == {"one", "two"}
    assert "program.log" in caught.value.hint
    assert (tmp_path / "program.log").read_text().count("\n") == 2


async def test_death_by_signal_is_named(make):
    with pytest.raises(CliError, match="SIGKILL"):
        await make("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").run()


async def test_a_program_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(CliError, match="could not be started"):
        await Child("program", ["/nonexistent"], tmp_path / "log", {}).run()


async def test_cancelling_stops_it_gently_and_keeps_its_last_words(make, tmp_path):
    child = make(
        "import signal, sys, time\n"
        "def stop(*_): print('goodbye', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    task = asyncio.create_task(child.run())
    async with asyncio.timeout(20):
        assert await child.wait_for_output(lambda line: "ready" in line) == "ready"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "goodbye" in (tmp_path / "program.log").read_text()
    assert child._process.returncode == 0


async def test_a_child_that_does_not_listen_is_killed(make, monkeypatch):
    monkeypatch.setattr(children, "STOP_SECONDS", 0.1)
    child = make(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    task = asyncio.create_task(child.run())
    async with asyncio.timeout(20):
        await child.wait_for_output(lambda line: line == "ready")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert child._process.returncode == -9


async def test_logs_and_memory_are_bounded(make, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOG_BYTES", 50_000)
    with pytest.raises(CliError) as caught:
        await make("for n in range(20000): print('line', n, 'x' * 20)\nprint('y' * 200000)").run()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"program.log", "program.log.1"}
    assert all(size <= 50_000 + 65_536 for size in sizes.values())
    assert len(caught.value.detail) == children.TAIL_LINES
    assert max(map(len, caught.value.detail)) <= children.LINE_BYTES
