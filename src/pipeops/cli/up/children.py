"""Child: one supervised process, its bounded log, and its end."""

import asyncio
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from pipeops.cli.failures import CliError

LOG_BYTES = 4 * 1024 * 1024
"""A log larger than this becomes `NAME.log.1`, replacing the one before."""

TAIL_LINES = 25
LINE_BYTES = 4096
STOP_SECONDS = 10.0

_PR_SET_PDEATHSIG = 1


class Child:
    """A process that writes its output to a log file and ends with us, whatever happens to us.

    Args:
        name: What messages call it.
        command: Program and arguments; no secret, since arguments are public.
        log: Where its output goes.
        environ: Its environment.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self._command = command
        self._log_path = log
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._seen = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process is not None else None

    async def run(self) -> None:
        """Start, copy the output to the log until the process ends; cancel to stop it.

        Raises:
            CliError: It could not be started, or ended by itself; the message has its last lines.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environ,
                # Ctrl-C goes to us alone: we stop the children, in the right order.
                start_new_session=True,
                preexec_fn=_die_with_parent(),
                limit=LINE_BYTES * 4,
            )
        except OSError as error:
            raise CliError(f"the {self.name} could not be started: {error}") from error
        process = self._process
        try:
            await self._copy_output(process)
            code = await process.wait()
        except asyncio.CancelledError:
            await self._stop(process)
            raise
        raise self.failure(f"the {self.name} ended {_how(code)}")

    def failure(self, message: str) -> CliError:
        """Return an error with the last lines of the log."""
        return CliError(
            message, hint=f"the whole log is {self._log_path}", detail=tuple(self._tail)
        )

    async def wait_for_output(self, matches: Callable[[str], bool]) -> str:
        """Wait for a line of output; return it. The caller sets the deadline."""
        while True:
            for line in self._tail:
                if matches(line):
                    return line
            self._seen.clear()
            await self._seen.wait()

    async def _copy_output(self, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        assert stream is not None  # noqa: S101 - asked for above
        log = _Log(self._log_path)
        rest = b""
        try:
            while chunk := await stream.read(65_536):
                log.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                rest = rest[-LINE_BYTES:]
                for line in lines:
                    self._tail.append(line[:LINE_BYTES].decode("utf-8", "replace").rstrip())
                self._seen.set()
        finally:
            if rest:
                self._tail.append(rest.decode("utf-8", "replace"))
            log.close()

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """Ask it to end, go on reading what it has to say meanwhile, and insist after a while."""
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._copy_output(process)
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class _Log:
    """Appends to a file and starts a new one when it has grown too large."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > LOG_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._open()
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        file = os.fdopen(descriptor, "ab")
        file.seek(0, os.SEEK_END)
        return file


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our programs with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without settings that are meant for other installations.

    Loopback never goes through a proxy.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("PIPEOPS_") and name != "KUBECONFIG"
    }
    local = "127.0.0.1,localhost,::1"
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, (kept.get(name), local)))
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
