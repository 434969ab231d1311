"""Reading YAML (and so JSON) files, with errors that name file, line and column."""

from pathlib import Path
from typing import Any, Final

from pipeops.errors import PipeOpsError

MAX_BYTES: Final = 8 * 1024 * 1024


class DocumentError(PipeOpsError):
    """A file that cannot be read or is not YAML."""


def read_yaml(path: Path, what: str) -> Any:
    """Return the content of a YAML file, `None` if it is empty. `what` names its role in errors.

    Raises:
        DocumentError: unreadable, larger than `MAX_BYTES`, or malformed; it never quotes content.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(f"{what} {path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise DocumentError(f"{what} {path}: larger than {MAX_BYTES} bytes")
    # Imported here: an agent that is configured by its environment never pays for the parser.
    import yaml  # noqa: PLC0415

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(data, loader)  # noqa: S506 -- both choices are safe loaders
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DocumentError(f"{what} {path}: {where}{error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DocumentError(f"{what} {path}: it is not YAML text") from error
