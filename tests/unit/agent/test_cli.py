import io
import logging

import pytest
import structlog

from pipeops.agent import cli
from pipeops.errors import PipeOpsError
from pipeops.runtime.settings import Problem, SettingsError

GOOD = ["--token", "tok", "--pipeops-url", "https://cp", "--cluster-name", "c"]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for name in ("PIPEOPS_TOKEN", "PIPEOPS_API_URL", "PIPEOPS_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def never(_):
    raise AssertionError("the agent must not start")


def test_flags_reach_the_program():
    seen = []

    def run(settings):
        seen.append(settings)
        return 7

    assert cli.main([*GOOD, "--in-cluster", "--allow-system-identities=false"], run) == 7
    assert seen[0].in_cluster
    assert not seen[0].allow_system_identities
    assert seen[0].cluster_name == "c"


def test_token_on_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("piped\n"))
    seen = []
    cli.main(["--token-file", "-"], lambda settings: seen.append(settings) or 0)
    assert seen[0].token.reveal() == "piped"


def test_wrong_settings_exit_2_and_name_every_problem(capsys):
    assert cli.main(["--port", "x", "--pipeops-url", "nope"], never) == 2
    err = capsys.readouterr().err
    assert "3 setting(s)" in err
    assert "agent.port (--port): expected a whole number" in err
    assert "pipeops.api_url (--pipeops-url)" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("argv", [["--nope"], ["restart"], ["--port"], ["--pipeops"]])
def test_wrong_arguments_exit_2_in_two_lines(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv, never)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "--help" in err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (PipeOpsError("the control plane refused the token"), 1, "refused the token"),
        (KeyboardInterrupt(), 130, ""),
        (ZeroDivisionError("oops"), 1, "this is a bug"),
        (SettingsError([Problem("agent.port", "", "in use")]), 2, "in use"),
    ],
)
def test_errors_become_exit_codes(capsys, error, code, words):
    def run(_):
        raise error

    assert cli.main(GOOD, run) == code
    err = capsys.readouterr().err
    assert words in err
    assert ("Traceback" in err) is isinstance(error, ZeroDivisionError)
    assert "tok" not in err.replace("token", "")


def test_run_is_the_word_for_no_word():
    assert cli.main(["run", *GOOD], lambda _: 5) == 5


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_exists_and_has_help(capsys, name):
    with pytest.raises(SystemExit) as caught:
        cli.main([*name, "--help"], never)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: pipeops-agent")


def test_a_command_returns_its_code(capsys):
    assert cli.main(["config", "check", "/no/such"], never) == 2
    assert cli.main(["version"], never) == 0


def test_help_and_version(capsys):
    for argument in ("--help", "--version"):
        with pytest.raises(SystemExit) as caught:
            cli.main([argument], never)
        assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "--token-file" in out
    assert "PIPEOPS_API_URL" in out
    assert out.splitlines()[-1].startswith("pipeops-agent ")


def test_logs_can_go_to_a_file(tmp_path, capsys):
    path = tmp_path / "agent.log"
    (tmp_path / "c.yaml").write_text(f"logging: {{output: {path}}}")
    assert cli.main([*GOOD, "--config", "c.yaml"], lambda _: 0) == 0
    assert "check the settings" in path.read_text()
    (tmp_path / "c.yaml").write_text("logging: {output: /no/such/dir/x}")
    assert cli.main([*GOOD, "--config", "c.yaml"], lambda _: 0) == 0
    assert "using stderr" in capsys.readouterr().err


def test_the_level_is_read_again_with_the_same_flags_and_without_the_token(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("piped\n"))
    file = tmp_path / "config.yaml"
    file.write_text("logging: {level: debug}\n")
    assert cli._reread_level({"token_file": "-"}, str(file)) == "debug"
    assert cli._reread_level({"token_file": "-", "log_level": "error"}, str(file)) == "error"
    file.write_text("logging: [")
    assert cli._reread_level({}, str(file)) is None
