"""Token files."""

import stat
from pathlib import Path

import pytest

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.token_files import deliver_token, refuse_existing


def test_written_privately_and_with_an_absolute_name(tmp_path):
    path = deliver_token("secret", Path("a.token"), "x")
    assert path.is_absolute()
    assert path.read_text() == "secret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_existing_file_is_never_overwritten(tmp_path):
    (tmp_path / "a").write_text("other")
    with pytest.raises(CliError, match="exists already") as caught:
        refuse_existing(tmp_path / "a")
    assert caught.value.code is ExitCode.CONFLICT


def test_a_missing_directory_is_noticed_before_a_token_is_made(tmp_path):
    with pytest.raises(CliError, match="does not exist"):
        refuse_existing(tmp_path / "no" / "a")


def test_a_dash_is_standard_output(capsys):
    refuse_existing(Path("-"))
    assert deliver_token("secret", Path("-"), "x") is None
    assert capsys.readouterr().out == "secret\n"


def test_a_token_that_cannot_be_written_is_reported_as_lost(tmp_path):
    with pytest.raises(CliError, match="could not be written"):
        deliver_token("secret", tmp_path / "no" / "a", "cluster 'x'")
