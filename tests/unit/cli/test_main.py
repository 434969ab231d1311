"""The program as a whole: exit codes, help, suggestions, no tracebacks."""

import json

import click
import httpx
import pytest

from pipeops import __version__
from pipeops.cli.failures import MEANINGS, ExitCode
from pipeops.cli.main import cli


def commands(group, path=()):
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = [(path, command) for path, command in commands(cli)]


def test_help_lists_every_exit_code(pipeops):
    code, out, _ = pipeops("--help")
    assert code == 0
    assert set(MEANINGS) == set(ExitCode)
    for meaning in MEANINGS.values():
        assert meaning in out


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_every_command_explains_itself_and_its_options(path, command):
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.name} has no help"


@pytest.mark.parametrize(
    ("path", "command"),
    [(path, command) for path, command in ALL if not isinstance(command, click.Group)],
)
def test_every_command_can_print_json(path, command):
    (option,) = [each for each in command.params if each.name == "form"]
    assert "json" in option.type.choices


def test_mistyped_commands_get_a_suggestion(pipeops):
    code, _, err = pipeops("clustrs", "list")
    assert code == ExitCode.USAGE
    assert "Did you mean 'clusters'?" in err


def test_wrong_usage_is_two(pipeops):
    assert pipeops("clusters", "add")[0] == ExitCode.USAGE
    assert pipeops("clusters", "list", "-o", "xml")[0] == ExitCode.USAGE


def test_version_works_without_a_control_plane(pipeops, control):
    control.on("GET", "/api/v1/version", httpx.ConnectTimeout("slow"))
    code, out, _ = pipeops("version", "-o", "json")
    assert code == 0
    document = json.loads(out)
    assert (document["client"], document["server"]) == (__version__, None)
    assert "in time" in document["problem"]
    control.on("GET", "/api/v1/version", {"version": "9.9"})
    assert "9.9" in pipeops("version")[1]


def test_errors_are_one_message_with_a_hint(pipeops, control):
    control.problem("GET", "/api/v1/clusters", 401, "the token was revoked", "ask for a new one")
    code, out, err = pipeops("clusters", "list")
    assert (code, out) == (ExitCode.REFUSED, "")
    assert err == "pipeops: the token was revoked\n  → ask for a new one\n"
