"""A process of a simulated pod: arguments, streams, surroundings; nothing of the host."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from pipeops.sim.pods.files import Device, File, Files, Folder
from pipeops.sim.pods.files import error as os_error
from pipeops.sim.pods.terminal import Terminal
from pipeops.sim.streaming.pipes import READ_BYTES, Nothing, Sink, Source

MAX_LINE = 1 << 20
"""Longer lines are cut into pieces."""
SIGINT_CODE, SIGPIPE_CODE, SIGKILL_CODE = 130, 141, 137


class FileSource:
    """Reads a file from its start."""

    is_terminal = False

    def __init__(self, file: File) -> None:
        self._file = file
        self._at = 0

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Up to `limit` bytes; empty at the end."""
        await asyncio.sleep(0)
        taken = bytes(memoryview(self._file.data)[self._at : self._at + limit])
        self._at += len(taken)
        return taken


class DeviceSource:
    """Reads /dev/null, /dev/zero or /dev/urandom."""

    is_terminal = False

    def __init__(self, device: Device) -> None:
        self._kind = device.kind

    async def read(self, limit: int = READ_BYTES) -> bytes:
        """Zeroes, noise or the end."""
        await asyncio.sleep(0)
        if self._kind == "null":
            return b""
        return bytes(limit) if self._kind == "zero" else os.urandom(limit)


class FileSink:
    """Appends to a file; OSError ENOSPC when the pod's space is used up."""

    is_terminal = False

    def __init__(self, files: Files, file: File) -> None:
        self._files = files
        self._file = file

    async def write(self, data: bytes) -> None:
        """Append."""
        self._files.append(self._file, data)
        await asyncio.sleep(0)


@dataclass(slots=True)
class Process:
    """One running program.

    Attributes:
        hostname: the pod's name.
        run: starts another program in the same surroundings (how `sh`, `env` and friends do it);
            raises FileNotFoundError when there is no such program.
        depth: how many shells run each other; bounded.
    """

    argv: list[str]
    stdin: Source
    stdout: Sink
    stderr: Sink
    environment: dict[str, str]
    directory: str
    files: Files
    hostname: str
    run: Callable[["Process"], Awaitable[int]]
    terminal: Terminal | None = None
    depth: int = 0

    @property
    def name(self) -> str:
        """What the program calls itself in its messages."""
        return self.argv[0].rpartition("/")[2]

    def with_arguments(self, argv: list[str]) -> "Process":
        """The same surroundings for another program."""
        return replace(self, argv=argv)

    async def print(self, text: str) -> None:
        """Write text to stdout."""
        await self.stdout.write(encode(text))

    async def complain(self, message: str, code: int = 1) -> int:
        """Write `name: message` to stderr; returns `code`."""
        await self.stderr.write(encode(f"{self.name}: {message}\n"))
        return code

    async def failed(self, error: OSError, path: str = "", code: int = 1) -> int:
        """Complain about a failed system call; returns `code`."""
        named = path or error.filename
        text = error.strerror or str(error)
        return await self.complain(f"{named}: {text}" if named else text, code)

    def open(self, path: str) -> Source:
        """A file to read; `-` and /dev/stdin are the standard input. OSError."""
        if path in {"-", "/dev/stdin"}:
            return self.stdin
        return open_source(self.files, path, self.directory)

    def create(self, path: str, *, append: bool = False) -> Sink:
        """A file to write; /dev/stdout and /dev/stderr are what they say. OSError."""
        named = {"/dev/stdout": self.stdout, "/dev/stderr": self.stderr, "/dev/tty": self.stdout}
        if path in named:
            return named[path]
        return open_sink(self.files, path, self.directory, append=append)


def open_source(files: Files, path: str, directory: str) -> Source:
    """A file or device to read; OSError."""
    node = files.find(path, directory)
    if isinstance(node, Folder):
        raise os_error(errno.EISDIR, path)
    return (
        DeviceSource(node) if isinstance(node, Device) else FileSource(files.file(path, directory))
    )


def open_sink(files: Files, path: str, directory: str, *, append: bool) -> Sink:
    """A file to write (cut to nothing unless `append`), or a device that forgets; OSError."""
    node = files.create(path, directory, truncate=not append)
    return Nothing() if isinstance(node, Device) else FileSink(files, node)


def encode(text: str) -> bytes:
    """Text as bytes; what came from bytes goes back unchanged."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Bytes as text that `encode` restores."""
    return data.decode("utf-8", "surrogateescape")


async def lines(source: Source) -> AsyncIterator[bytes]:
    """Lines with their line ends; the last may have none."""
    pending = bytearray()
    while data := await source.read():
        pending += data
        start = 0
        while (end := pending.find(b"\n", start)) >= 0:
            yield bytes(pending[start : end + 1])
            start = end + 1
        del pending[:start]
        if len(pending) > MAX_LINE:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
