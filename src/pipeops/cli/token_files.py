"""Token files: how a new token reaches its reader without passing through argv or a log."""

import sys
from pathlib import Path

from pipeops.cli.failures import CliError, ExitCode
from pipeops.runtime.private_file import write_private

STANDARD_OUTPUT = Path("-")


def refuse_existing(path: Path) -> None:
    """Check, before a token is made, that it can be written.

    Raises:
        CliError: The file exists, or its directory does not.
    """
    if path == STANDARD_OUTPUT:
        return
    if path.exists():
        raise CliError(
            f"{path} exists already",
            hint="remove it, or choose another file with --write-token",
            code=ExitCode.CONFLICT,
        )
    if not path.absolute().parent.is_dir():
        raise CliError(
            f"the directory of {path} does not exist",
            hint="make it, or choose another file with --write-token",
            code=ExitCode.USAGE,
        )


def deliver_token(token: str, path: Path, whose: str) -> Path | None:
    """Write the token; return the absolute path, None when it went to standard output.

    Raises:
        CliError: It could not be written; the message says that a token was issued in vain.
    """
    if path == STANDARD_OUTPUT:
        print(token, file=sys.stdout)
        return None
    target = path.absolute()
    try:
        write_private(target, token + "\n")
    except OSError as error:
        raise CliError(
            f"{whose} was made, but its token could not be written to {target}: {error.strerror}",
            hint="issue another token with a file that can be written",
        ) from error
    return target
