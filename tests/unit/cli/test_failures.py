"""Exit codes and the error that carries them."""

from pipeops.cli.failures import MEANINGS, CliError, ExitCode


def test_exit_codes_are_what_scripts_rely_on():
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "FAILED": 1, "USAGE": 2, "REFUSED": 3, "NOT_FOUND": 4, "CONFLICT": 5, "UNREACHABLE": 6,
        "INTERRUPTED": 130,
    }  # fmt: skip
    assert set(MEANINGS) == set(ExitCode)


def test_an_error_is_a_plain_failure_unless_it_says_more():
    error = CliError("it failed")
    assert (str(error), error.hint, error.code, error.detail) == (
        "it failed",
        "",
        ExitCode.FAILED,
        (),
    )
