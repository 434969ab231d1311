"""Presenting: tables for people, JSON for programs, times and durations in words."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeVar

import click
from rich.console import Console
from rich.table import Table

from pipeops.cli.client import Json

Format = Literal["table", "json"]
Cell = Callable[[Json], str]
F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def output_option(function: F) -> F:
    """Add ``-o table|json`` to a command, as the argument `form`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print the result.",
    )(function)


def duration(text: str) -> float:
    """Parse a duration such as ``30d`` or ``12h`` into seconds; the type of an option.

    Raises:
        click.BadParameter: It is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a duration; write for example 12h or 30d")
    return float(match[1]) * _UNITS[match[2]]


def show_list(
    items: Sequence[Json], form: Format, columns: Mapping[str, Cell], *, empty: str = ""
) -> None:
    """Print a list in the form that was asked for.

    Args:
        items: what the API answered.
        form: table or JSON.
        columns: how the cell under each title is made of an item.
        empty: said on standard error, instead of a table, when there are no items.
    """
    if form == "json":
        print_json(items)
    elif not items and empty:
        print(empty, file=sys.stderr)
    else:
        rows = [tuple(cell(item) for cell in columns.values()) for item in items]
        print_table(tuple(columns), rows)


def show_done(form: Format, document: Json, sentence: str) -> None:
    """Print what was done, as a sentence or as a document."""
    if form == "json":
        print_json(document)
    else:
        print(sentence)


def print_json(document: object, stream: TextIO | None = None) -> None:
    """Print a document on standard output, or on another stream."""
    print(json.dumps(document, indent=2, ensure_ascii=False), file=stream or sys.stdout)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows on standard output; without a terminal nothing is cut or coloured."""
    if not sys.stdout.isatty():
        print_plain(columns, rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows with columns padded to their widest cell."""
    lines = [[column.upper() for column in columns], *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("   ".join(cells).rstrip())


def print_fields(fields: Mapping[str, str]) -> None:
    """Print one thing, a line for each field."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        print(f"{name.ljust(width)}   {value}")


def age(text: str | None, now: float) -> str:
    """Return how long ago an RFC 3339 time was, in one or two units."""
    if text is None:
        return "never"
    return f"{span(now - _parse(text))} ago"


def until(text: str | None, now: float) -> str:
    """Return how far ahead an RFC 3339 time is."""
    if text is None:
        return "never"
    left = _parse(text) - now
    return f"in {span(left)}" if left > 0 else "expired"


def span(seconds: float) -> str:
    """Return a length of time in its largest unit, or the two largest below ten."""
    seconds = max(0, int(seconds))
    for unit, smaller in (("d", "h"), ("h", "m"), ("m", "s")):
        count, rest = divmod(seconds, _UNITS[unit])
        if count >= 10:
            return f"{count}{unit}"
        if count:
            part = rest // _UNITS[smaller]
            return f"{count}{unit}{part}{smaller}" if part else f"{count}{unit}"
    return f"{seconds}s"


def _parse(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
