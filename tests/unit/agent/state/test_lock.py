"""The lock of a state file: one writer at a time, and none that waits for ever."""

import errno
import fcntl
import multiprocessing
from pathlib import Path

import pytest

from pipeops.agent.state.lock import locked


def test_a_second_holder_waits_and_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "state.yaml"
    with (
        locked(path),
        pytest.raises(TimeoutError, match="held the lock"),
        locked(path, wait=0.05),
    ):
        pytest.fail("two hold it")
    with locked(path, wait=0.0):
        assert (tmp_path / ".state.yaml.lock").stat().st_mode & 0o777 == 0o600


def test_it_is_given_back_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), locked(tmp_path / "state.yaml"):
        raise ValueError("x")
    with locked(tmp_path / "state.yaml", wait=0.0):
        pass


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "state.yaml"), locked(tmp_path / "state.yaml", wait=0.0):
        pass


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"), locked(tmp_path / "missing" / "state.yaml"):
        pytest.fail("there is no folder")


def _hold(path: str, ready: "multiprocessing.synchronize.Event") -> None:
    with locked(Path(path)):
        ready.set()
        multiprocessing.Event().wait(60)


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path / "s"), ready), daemon=True)
    holder.start()
    assert ready.wait(30)
    with pytest.raises(TimeoutError), locked(tmp_path / "s", wait=0.05):
        pass
    holder.kill()
    holder.join()
    with locked(tmp_path / "s"):
        pass
