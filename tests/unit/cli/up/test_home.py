"""The state directory and its lock."""

import os
import stat

import pytest

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.up.home import Home


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "a" / "b")
    home.prepare()
    return home


def test_directories_are_private(home):
    for path in (home.root, home.sim, home.agent, home.tls, home.logs):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_place_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CliError, match="cannot be made") as caught:
        Home(tmp_path / "file" / "home").prepare()
    assert "PIPEOPS_HOME" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_named(home):
    home.root.chmod(0o500)
    with pytest.raises(CliError, match="not writable"):
        home.prepare()


def test_a_second_run_is_refused_with_the_first_ones_pid(home):
    with home.locked():
        with pytest.raises(CliError, match=f"process {os.getpid()}") as caught, home.locked():
            pass
        assert caught.value.code is ExitCode.CONFLICT
    with home.locked():
        pass


def test_the_lock_of_a_dead_process_does_not_count(home):
    (home.root / "up.lock").write_text("999999\n")
    with home.locked():
        assert (home.root / "up.lock").read_text() == f"{os.getpid()}\n"
