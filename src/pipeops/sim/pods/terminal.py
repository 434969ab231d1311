"""A terminal's line discipline: echo, line editing, Ctrl-C and Ctrl-D, sizes."""

import asyncio
from collections.abc import Callable

from pipeops.sim.streaming.pipes import READ_BYTES, Pipe, Sink

MAX_LINE = 4096
"""As Linux's canonical mode."""
INTERRUPT, END, ERASE_LINE, ERASE_WORD = 0x03, 0x04, 0x15, 0x17
BACKSPACES = frozenset({0x08, 0x7F})
RETURNS = frozenset({0x0A, 0x0D})
QUIT, SUSPEND = 0x1C, 0x1A


class TerminalInput:
    """What programs on the terminal read: whole lines, and an end that is not final (Ctrl-D)."""

    is_terminal = True

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._waiting = 0
        self._ready = asyncio.Event()
        self._over = False

    @property
    def full(self) -> bool:
        """Whether nobody has read for too long."""
        return self._waiting >= 16 * MAX_LINE

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """At most one line; empty for Ctrl-D on an empty line, or when the terminal is gone."""
        while not self._lines and not self._over:
            self._ready.clear()
            await self._ready.wait()
        if not self._lines:
            return b""
        line = self._lines.pop(0)
        if len(line) > limit:
            self._lines.insert(0, line[limit:])
        taken = line[:limit]
        self._waiting -= len(taken)
        return taken

    def add(self, line: bytes) -> None:
        """A line was entered; an empty one is Ctrl-D."""
        self._lines.append(line)
        self._waiting += len(line)
        self._ready.set()

    def flush(self) -> None:
        """Drop what was typed ahead."""
        self._lines.clear()
        self._waiting = 0

    def hang_up(self) -> None:
        """Nothing more will be typed."""
        self._over = True
        self._ready.set()


class TerminalOutput:
    """What programs on the terminal write: line feeds also return the carriage."""

    is_terminal = True

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def write(self, data: bytes) -> None:
        """Send to the screen."""
        await self._sink.write(data.replace(b"\n", b"\r\n"))


class Terminal:
    """One terminal. `on_interrupt` hears Ctrl-C, `on_resize` new sizes (in rows and columns).

    Keys are handled at once, whatever the program does: its input is bounded by dropping what
    is typed while the queue is full, with a bell, as Linux does.
    """

    def __init__(self, screen: Sink) -> None:
        self.input = TerminalInput()
        self.output = TerminalOutput(screen)
        self.rows, self.columns = 0, 0
        self.on_interrupt: Callable[[], None] = lambda: None
        self.on_resize: Callable[[], None] = lambda: None
        self._screen = screen
        self._line = bytearray()

    def resize(self, rows: int, columns: int) -> None:
        """The window has a new size."""
        changed = (rows, columns) != (self.rows, self.columns)
        self.rows, self.columns = rows, columns
        if changed:
            self.on_resize()

    async def run(self, keys: Pipe) -> None:
        """Handle keys until the keyboard is gone."""
        while data := await keys.read():
            echo = bytearray()
            for key in data:
                echo += self._key(key)
            if echo:
                await self._screen.write(bytes(echo))
        self.input.add(bytes(self._line))
        self.input.hang_up()

    def _key(self, key: int) -> bytes:
        line = self._line
        if key in {INTERRUPT, QUIT}:
            line.clear()
            self.input.flush()
            self.on_interrupt()
            return b"^C" if key == INTERRUPT else b"^\\"
        if key in RETURNS:
            self._enter(b"\n")
            return b"\r\n"
        if key == END:
            self._enter(b"")
            return b""
        if key in BACKSPACES or key in {ERASE_LINE, ERASE_WORD}:
            kept = line.rstrip(b" ").rfind(b" ") + 1 if key == ERASE_WORD else 0
            return self._erase(1 if key in BACKSPACES else len(line) - kept)
        if len(line) >= MAX_LINE - 1 or self.input.full:
            return b"\a"
        line.append(key)
        if key < 0x20 and key != 0x09:
            return b"^" + bytes([key + 0x40])
        return bytes([key])

    def _enter(self, end: bytes) -> None:
        self.input.add(bytes(self._line) + end)
        self._line.clear()

    def _erase(self, count: int) -> bytes:
        echo = b""
        for _ in range(min(count, len(self._line))):
            while self._line and self._line[-1] & 0xC0 == 0x80:  # the rest of a UTF-8 character
                self._line.pop()
            if self._line:
                self._line.pop()
                echo += b"\b \b"
        return echo
