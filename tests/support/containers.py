"""What the stub kubelet knows of its pods: a folder for each, local processes in place of containers, made-up logs."""

import asyncio
import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import termios
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import override

from tests.support.processes import die_with_parent

ANNOTATION = "test.pipeops.io/"


@dataclass
class Pod:
    """A pod on this machine. `root` stands for its file system: working directory and HOME of its processes."""

    manifest: dict[str, Any]
    root: Path
    started: float = field(default_factory=time.time)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    processes: set["Process"] = field(default_factory=set)

    @property
    def key(self) -> tuple[str, str]:
        return self.manifest["metadata"]["namespace"], self.manifest["metadata"]["name"]

    def annotation(self, name: str, default: str) -> str:
        annotations: dict[str, str] = self.manifest["metadata"].get("annotations") or {}
        return annotations.get(ANNOTATION + name, default)

    def container(self, name: str) -> dict[str, Any] | None:
        """The container's part of the spec, or None if there is none of this name."""
        containers: list[dict[str, Any]] = self.manifest["spec"]["containers"]
        return next((each for each in containers if each["name"] == name), None)

    def forwarded_port(self, port: int) -> int:
        """The loopback port that stands for a port of the pod (annotation `ports`: `80=8080,443=8443`)."""
        for pair in filter(None, self.annotation("ports", "").split(",")):
            pod_port, _, local = pair.partition("=")
            if int(pod_port) == port:
                return int(local)
        return port

    def command(self, container: str) -> list[str]:
        """The command of a container, or a shell if the image's own would run."""
        spec = self.container(container) or {}
        return [*spec.get("command", ()), *spec.get("args", ())] or ["/bin/sh"]

    async def run(self, argv: list[str], *, container: str, terminal: bool) -> "Process":
        """Start a process in the pod; raises `OSError` when the program cannot be executed."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.root),
            "HOSTNAME": self.key[1],
            **{
                each["name"]: each["value"]
                for each in (self.container(container) or {}).get("env", ())
                if "value" in each
            },
        }
        starter = TerminalProcess.start if terminal else PipedProcess.start
        process = await starter(argv, self.root, environment)
        self.processes.add(process)
        return process

    def remove(self) -> None:
        """Kill what runs in the pod and delete its folder."""
        self.gone.set()
        for process in self.processes:
            process.kill()
        shutil.rmtree(self.root, ignore_errors=True)


class Process:
    """A local process with byte streams; `kill()` ends everything in its session."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def write(self, data: bytes) -> None:
        raise NotImplementedError

    async def finish_input(self) -> None:
        """The input ends here."""
        raise NotImplementedError

    async def without_input(self) -> None:
        """There is no input at all: a pipe ends at once, a terminal stays silent."""

    async def read_output(self) -> bytes:
        raise NotImplementedError

    async def read_errors(self) -> bytes:
        """Bytes of stderr; a terminal has none."""
        return b""

    def resize(self, columns: int, rows: int) -> None:
        """Tell a terminal its size; without one this does nothing."""

    async def wait(self) -> int:
        """The exit code, 128 + N after signal N; what it left running in its session is killed."""
        code = await self._process.wait()
        self.kill()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Give back file descriptors after the end."""


class PipedProcess(Process):
    """Three pipes."""

    @classmethod
    async def start(cls, argv: list[str], root: Path, environment: dict[str, str]) -> Process:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=root,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        return cls(process)

    @override
    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    @override
    async def finish_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    @override
    async def without_input(self) -> None:
        await self.finish_input()

    @override
    async def read_output(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.read(32768)

    @override
    async def read_errors(self) -> bytes:
        assert self._process.stderr is not None
        return await self._process.stderr.read(32768)


class TerminalProcess(Process):
    """A pseudo-terminal, with the process as leader of its session."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        super().__init__(process)
        self._master = master

    @classmethod
    async def start(cls, argv: list[str], root: Path, environment: dict[str, str]) -> Process:
        master, slave = pty.openpty()

        def own_terminal() -> None:
            die_with_parent()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=root,
                env={"TERM": "xterm", "PS1": "$ ", **environment},
                start_new_session=True,
                preexec_fn=own_terminal,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        os.set_blocking(master, False)
        return cls(process, master)

    @override
    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await _once(self._master, loop.add_writer, loop.remove_writer)
            except OSError:
                return

    @override
    async def finish_input(self) -> None:
        await self.write(b"\x04")

    @override
    async def read_output(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self._master, 32768)
            except BlockingIOError:
                await _once(self._master, loop.add_reader, loop.remove_reader)
            except OSError:
                return b""  # Linux answers EIO once the last process has left the terminal

    @override
    def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(OSError):  # the kernel signals SIGWINCH to the foreground group
            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @override
    def close(self) -> None:
        os.close(self._master)


async def _once(fd: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)


@dataclass(frozen=True)
class LogQuery:
    """The options of a log request."""

    follow: bool = False
    tail: int | None = None
    limit: int | None = None
    timestamps: bool = False
    since: float | None = None


async def log_lines(pod: Pod, container: str, query: LogQuery) -> AsyncIterator[bytes]:
    """Lines that a container would have written: some before it started to be watched, then one each interval.

    Annotations: `log-history` (lines at start, default 5), `log-interval` (seconds, default 0.5), `log-width`
    (bytes of filler in each line, default 0).
    """
    history = int(pod.annotation("log-history", "5"))
    interval = float(pod.annotation("log-interval", "0.5"))
    filler = "x" * int(pod.annotation("log-width", "0"))

    def written(at: float) -> float:
        return pod.started + max(0, at - history + 1) * interval

    def line(index: int) -> bytes:
        stamp = ""
        if query.timestamps:
            seconds = written(index)
            whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            stamp = f"{whole}.{int(seconds % 1 * 1e9):09d}Z "
        return (
            f"{stamp}{'/'.join(pod.key)}/{container} line {index} {filler}".rstrip().encode()
            + b"\n"
        )

    count = history + int((time.time() - pod.started) / interval)
    first = 0 if query.tail is None else max(0, count - query.tail)
    if query.since is not None:
        while first < count and written(first) < time.time() - query.since:
            first += 1
    left = query.limit
    index = first
    while index < count or query.follow:
        if index >= count:
            delay = written(index) - time.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0, delay)):
                    await pod.gone.wait()
            if pod.gone.is_set():
                return
        data = line(index)
        if left is not None:
            data = data[:left]
            left -= len(data)
        yield data
        if left == 0:
            return
        index += 1
