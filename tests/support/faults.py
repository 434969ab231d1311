"""A network that can fail: a TCP relay which forwards, loses everything, or resets; and counts of what a process holds."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.processes import Child, free_port

_NO_LINGER = struct.pack("ii", 1, 0)  # close() sends RST


class Relay:
    """Forwards TCP connections from a port of its own to `target`, in a thread of its own.

    While it is blocked nothing passes in either direction, neither bytes nor FIN nor RST, and sockets stay
    open, as when every packet is dropped; new connections are taken by the kernel and hear nothing.

    Args:
        target: Loopback port to forward to.
        rate: Bytes per second of one connection and direction; None: as fast as it goes.

    Attributes:
        port: Where it listens on 127.0.0.1.
        rate: As given; may be changed while running.
        accepted: `time.monotonic()` of each connection taken.
    """

    def __init__(self, target: int, *, rate: float | None = None) -> None:
        self.port = free_port()
        self.rate = rate
        self.accepted: list[float] = []
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._call(
            asyncio.start_server(self._connection, "127.0.0.1", self.port, limit=1 << 18)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def block(self) -> None:
        """Lose everything from now on."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def unblock(self) -> None:
        """Forward again, also what connections have to say that were there before or came meanwhile."""
        self._loop.call_soon_threadsafe(self._open.set)

    def reset_all(self) -> None:
        """RST to both ends of every connection."""
        self._call(self._reset_all())

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def first_accept_after(self, moment: float) -> float | None:
        """Seconds from `moment` to the next connection that was taken."""
        return next((at - moment for at in self.accepted if at >= moment), None)

    def _call(self, step: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    async def _close(self) -> None:
        self._open.set()
        self._server.close()
        await self._reset_all()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _reset_all(self) -> None:
        for pair in tuple(self._pairs):
            for writer in pair:
                raw: socket.socket = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(time.monotonic())
        await self._open.wait()
        try:
            there, to_there = await asyncio.open_connection(
                "127.0.0.1", self._target, limit=1 << 18
            )
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, to_there)
        self._pairs.add(pair)
        # A cancelled task would make asyncio's streams log an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self._forward(pair, reader, there)

    async def _forward(
        self,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        reader: asyncio.StreamReader,
        there: asyncio.StreamReader,
    ) -> None:
        writer, to_there = pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to_there))
                group.create_task(self._pump(there, writer))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
                if self.rate is not None:
                    await asyncio.sleep(len(data) / self.rate)
            await self._open.wait()
            writer.write_eof()
            return
        await self._open.wait()
        writer.transport.abort()  # one end was reset: so is the other


def log_records(path: Path, offset: int = 0) -> list[dict[str, Any]]:
    """JSON records of a log file from a byte offset on; other lines are left out."""
    with path.open("rb") as log:
        log.seek(offset)
        lines = log.read().splitlines()
    records = []
    for line in lines:
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


def wait_for_record(
    child: Child, message: str, *, offset: int = 0, timeout: float = 20.0
) -> dict[str, Any]:
    """The first record with `msg` equal to `message` behind a byte offset of the child's log."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for record in log_records(child.log, offset):
            if record.get("msg") == message:
                return record
        time.sleep(0.02)
    raise AssertionError(f"no record {message!r} in {child.log} within {timeout:g} s")


def held(child: Child) -> dict[str, int]:
    """What a process of ours says it holds, by SIGUSR1; `descriptors` counted from outside.

    Descriptors of database files are left out: their pool keeps a few connections once it has needed them.
    """
    offset = child.log.stat().st_size
    os.kill(child.pid, signal.SIGUSR1)
    record = wait_for_record(child, "state", offset=offset, timeout=10)
    figures = {key: value for key, value in record.items() if isinstance(value, int)}
    figures["descriptors"] = sum(".db" not in target for target in _open_files(child.pid))
    return figures


def _open_files(pid: int) -> list[str]:
    """What each descriptor of a process refers to."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(descriptor.readlink()))
    return found


def sockets_to(pid: int, port: int) -> int:
    """How many established TCP connections a process has to a port (IPv4)."""
    inodes = {file[8:-1] for file in _open_files(pid) if file.startswith("socket:[")}
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        remote = int(fields[2].rpartition(":")[2], 16)
        if fields[3] == "01" and remote == port and fields[9] in inodes:
            found += 1
    return found
