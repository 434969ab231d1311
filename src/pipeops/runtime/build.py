"""Of which commit, and when, this program was built: written into the wheel, or read from the checkout that it runs from."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

UNKNOWN: Final = "unknown"
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_FILE: Final = "build.json"  # scripts/hatch_build.py writes it
_SHORT: Final = 12  # digits of a commit that people see


@dataclass(frozen=True, slots=True)
class Build:
    """`commit` is abbreviated, `date` RFC 3339; `unknown` where nobody noted it."""

    commit: str = UNKNOWN
    date: str = UNKNOWN


@cache
def this_build() -> Build:
    """Return what is known of the running program; looked up once."""
    return find_build(_PACKAGE)


def find_build(package: Path) -> Build:
    """Return what is known of the program in the folder `package`. Never raises."""
    with suppress(OSError, ValueError):
        noted = json.loads((package / _FILE).read_text("utf-8"))
        if isinstance(noted, dict):
            return Build(_word(noted, "commit")[:_SHORT], _word(noted, "date"))
    checkout = package.parent.parent
    if (checkout / "pyproject.toml").is_file():
        with suppress(OSError, ValueError):
            return Build(_head(checkout)[:_SHORT])
    return Build()


def _word(noted: dict[str, Any], name: str) -> str:
    value = noted.get(name)
    return value if isinstance(value, str) and value.isprintable() and value else UNKNOWN


def _head(checkout: Path) -> str:
    """The checked-out commit, as git keeps it (gitrepository-layout(5)); also of a linked worktree."""
    git = checkout / ".git"
    if git.is_file():
        git = checkout / git.read_text("utf-8").partition("gitdir:")[2].strip()
    common = git
    with suppress(FileNotFoundError):
        common = git / (git / "commondir").read_text("utf-8").strip()
    head = (git / "HEAD").read_text("utf-8").strip()
    reference = head.removeprefix("ref: ")
    if reference == head:
        return _commit(head)
    for folder in (git, common):
        with suppress(FileNotFoundError):
            return _commit((folder / reference).read_text("utf-8").strip())
    for line in (common / "packed-refs").read_text("utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return _commit(commit)
    raise ValueError(reference)


def _commit(text: str) -> str:
    int(text, 16)
    return text
