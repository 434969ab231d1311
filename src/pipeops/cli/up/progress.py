"""Progress: what `pipeops up` tells while it works and while it runs, on a terminal or in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.status import Status
from rich.text import Text


class Progress:
    """Prints steps, notes and a status line.

    On a terminal a running step has a spinner and the status line is redrawn in place; elsewhere each step and each
    change of status is one plain line.

    Args:
        quiet_stdout: Print everything on standard error, since standard output belongs to a document.
    """

    def __init__(self, *, quiet_stdout: bool = False, console: Console | None = None) -> None:
        stream = sys.stderr if quiet_stdout else sys.stdout
        self._console = console or Console(file=stream, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._last_state = ""

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show that something is under way; a tick when it succeeded."""
        if not self._console.is_terminal:
            self._console.print(f"{what} …", markup=False)
            yield
            return
        with Status(Text(what), console=self._console):
            yield
        self.note(what)

    def note(self, text: str) -> None:
        """Print one line about something that is done or decided."""
        tick = Text("✓ ", style="green") if self._console.is_terminal else Text("")
        self._console.print(tick + Text(text))

    def warn(self, text: str) -> None:
        """Print one line about something that works less well than it could."""
        self._console.print(Text("! ", style="yellow") + Text(text))

    def plain(self, text: str) -> None:
        """Print text as it is."""
        self._console.print(text, markup=False)

    def status(self, state: str, detail: str) -> None:
        """Show how things are; without a terminal only a new `state` is printed."""
        if self._console.is_terminal:
            text = f"● {state} · {detail} · Ctrl-C stops everything"
            line = Text(text, no_wrap=True, overflow="ellipsis")
            if self._live is None:
                self._live = Live(line, console=self._console, auto_refresh=False, transient=True)
                self._live.start()
            self._live.update(line, refresh=True)
        elif state != self._last_state:
            self._console.print(f"{state} ({detail})", markup=False)
        self._last_state = state

    def close(self) -> None:
        """Remove the status line."""
        if self._live is not None:
            self._live.stop()
            self._live = None
