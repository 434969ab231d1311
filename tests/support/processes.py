"""Child processes that cannot outlive the tests, free loopback ports, and progress lines."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_random = random.SystemRandom()


class ChildExitedError(RuntimeError):
    """A child ended although it should run on; the message carries the end of its log."""


def progress(text: str) -> None:
    """One line on the real stderr, so that it is seen even while pytest captures."""
    print(f"[tests] {text}", file=sys.__stderr__, flush=True)


def free_port() -> int:
    """A free loopback TCP port below the ephemeral range, which outgoing connections cannot take meanwhile."""
    for _ in range(200):
        port = _random.randrange(10000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port found between 10000 and 32000")


def port_open(port: int) -> bool:
    """Something listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def die_with_parent() -> None:
    """Between fork and exec: the kernel kills this child when the thread that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def log_tail(path: Path, lines: int = 15) -> str:
    """The end of a log file, for error messages."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"({error})"
    return "\n".join(text.splitlines()[-lines:])


class Child:
    """A process in a session of its own, with its output in a file.

    Start it from a thread that lives as long as it should: it dies with that thread.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raise `ChildExitedError` if the process is gone."""
        code = self._process.poll()
        if code is not None:
            raise ChildExitedError(f"{self.name} ended with {code}:\n{log_tail(self.log)}")

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, then SIGKILL for the whole session after `grace` seconds; returns when it is gone."""
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the process and everything that stayed in its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def wait_until(
    ready: Callable[[], bool],
    what: str,
    *,
    timeout: float,
    children: Sequence[Child] = (),
    interval: float = 0.05,
) -> float:
    """Poll until `ready()`; returns the seconds it took.

    Raises:
        ChildExitedError: One of `children` ended meanwhile.
        TimeoutError: Not ready within `timeout` seconds.
    """
    began = time.monotonic()
    reported = began
    while not ready():
        for child in children:
            child.check()
        now = time.monotonic()
        if now - began > timeout:
            tails = "\n".join(f"--- {child.name}\n{log_tail(child.log)}" for child in children)
            raise TimeoutError(f"{what}: not ready after {timeout:.0f} s\n{tails}")
        if now - reported > 5:
            progress(f"waiting for {what} ({now - began:.0f} s)")
            reported = now
        time.sleep(interval)
    return time.monotonic() - began
