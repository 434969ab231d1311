"""Reads Markdown: marked tables and marked blocks of commands."""

import re
from dataclasses import dataclass
from pathlib import Path

_TABLE = re.compile(r"<!-- table: ([a-z-]+) -->\n((?:\|.*\n)+)")
_FENCE = re.compile(
    r"(?:<!-- (?P<mark>(?:not )?run\b.*?) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def tables(page: str) -> dict[str, list[dict[str, str]]]:
    """The marked tables of a page, each a list of rows by column name."""
    found = {}
    for name, text in _TABLE.findall(page):
        header, _, *rows = (
            [cell.strip() for cell in line.strip("|\n ").split("|")] for line in text.splitlines()
        )
        found[name] = [dict(zip(header, row, strict=False)) for row in rows]
    return found


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands.

    Attributes:
        mark: text of the comment in front of it, empty if there is none.
        script: the commands, without prompts.
        shown: the output that the page shows, line by line.
    """

    page: Path
    line: int
    mark: str
    script: str
    shown: tuple[str, ...]

    @property
    def runs(self) -> bool:
        """Whether its commands are executed by the tests."""
        return self.mark.startswith("run")


def blocks(page: Path) -> list[Block]:
    """The `console` blocks of a page, in order."""
    text = page.read_text()
    return [
        _block(
            page,
            text[: fence.start("language")].count("\n") + 1,
            fence["mark"] or "",
            fence["body"],
        )
        for fence in _FENCE.finditer(text)
        if fence["language"] == "console"
    ]


def _block(page: Path, line: int, mark: str, body: str) -> Block:
    commands, shown, continued = [], [], False
    for text in body.splitlines():
        if continued or text.startswith("$ "):
            commands.append(text.removeprefix("$ "))
            continued = text.endswith("\\")
        elif text.strip():
            shown.append(text)
    return Block(page, line, mark, "\n".join(commands), tuple(shown))
