"""CliError and the exit codes: how the command line fails."""

import enum

from pipeops.errors import PipeOpsError


class ExitCode(enum.IntEnum):
    """Exit codes of `pipeops`; `pipeops --help` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNREACHABLE = 6
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed; the message says why",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.REFUSED: "the token is missing, not valid, or may not do this",
    ExitCode.NOT_FOUND: "no such cluster or token",
    ExitCode.CONFLICT: "the name is taken, or something else is in the way",
    ExitCode.UNREACHABLE: "the control plane cannot be reached or trusted, or is not ready",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
}


class CliError(PipeOpsError):
    """A command failed for a reason that the person at the keyboard can act upon.

    Attributes:
        hint: What to do about it.
        code: Exit code of the program.
        detail: Lines that help to find the cause, such as the end of a log.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: ExitCode = ExitCode.FAILED,
        detail: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
        self.detail = detail
