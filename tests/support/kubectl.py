"""Runs a kubectl binary against a kubeconfig: to its end, in the background, or on a terminal."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.processes import die_with_parent


@dataclass(frozen=True)
class Kubectl:
    """One binary, one credential, one default namespace.

    Attributes:
        binary: The kubectl.
        kubeconfig: Where it connects to, and as whom.
        home: HOME of the process; kubectl keeps its discovery cache there, which must not outlive a cluster.
        namespace: `--namespace` of every command, unless None.
    """

    binary: Path
    kubeconfig: Path
    home: Path
    namespace: str | None = None

    def within(self, namespace: str) -> "Kubectl":
        """The same in another namespace."""
        return replace(self, namespace=namespace)

    def argv(self, *arguments: str) -> list[str]:
        scope = [] if self.namespace is None else [f"--namespace={self.namespace}"]
        return [str(self.binary), *scope, *arguments]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig),
            "TERM": "xterm",
        }

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout: float = 60,
        check: bool = True,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end; with `check`, a failure raises `AssertionError` with what it printed."""
        done = subprocess.run(
            self.argv(*arguments),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            env=self.environment(),
            cwd=cwd,
            check=False,
        )
        if check and done.returncode != 0:
            printed = (done.stdout + done.stderr).decode(errors="replace")
            raise AssertionError(
                f"kubectl {' '.join(arguments)}: exit {done.returncode}\n{printed}"
            )
        return done

    def run_in(
        self, environment: dict[str, str], *arguments: str, timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end with another environment; must succeed."""
        done = subprocess.run(
            self.argv(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done

    def start(self, *arguments: str) -> "Background":
        """Start with pipes; use as a context manager, which ends it."""
        return Background(self.argv(*arguments), self.environment())

    def terminal(self, *arguments: str, rows: int = 24, columns: int = 80) -> "Terminal":
        """Start on a terminal of its own; use as a context manager, which ends it."""
        return Terminal(self.argv(*arguments), self.environment(), rows, columns)


class Output:
    """What a process has printed so far, collected by a thread."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._data = bytearray()
        self._seen = 0
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._collect, args=(read,), daemon=True)
        self._thread.start()

    def __bytes__(self) -> bytes:
        with self._changed:
            return bytes(self._data)

    def expect(self, text: bytes, timeout: float = 15) -> bytes:
        """Wait for `text` after what was expected before; returns everything up to its end.

        Raises:
            AssertionError: The output ended, or the time is over, without it.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while (at := self._data.find(text, self._seen)) < 0:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the output ended" if self._ended else f"{timeout} s went by"
                    rest = bytes(self._data[self._seen :])
                    raise AssertionError(f"no {text!r} before {why}; got {rest!r}")
                self._changed.wait(left)
            start, self._seen = self._seen, at + len(text)
            return bytes(self._data[start : self._seen])

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _collect(self, read: Callable[[], bytes]) -> None:
        while data := self._next(read):
            with self._changed:
                self._data += data
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @staticmethod
    def _next(read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except OSError:
            return b""  # a terminal answers EIO when its last process has gone


class Background:
    """A process with pipes."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
        )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._stdin = process.stdin
        out, err = process.stdout.fileno(), process.stderr.fileno()
        self.stdout = Output(lambda: os.read(out, 65536))
        self.stderr = Output(lambda: os.read(err, 65536))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def write(self, data: bytes) -> None:
        self._stdin.write(data)
        self._stdin.flush()

    def close_stdin(self) -> None:
        self._stdin.close()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout: float = 30) -> int:
        """The exit code, after all output has been collected."""
        code = self._process.wait(timeout)
        self.stdout.join(timeout)
        self.stderr.join(timeout)
        return code

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


class Terminal:
    """A process on a pseudo-terminal; `output` has what it draws."""

    def __init__(
        self, argv: list[str], environment: dict[str, str], rows: int, columns: int
    ) -> None:
        self._master, slave = pty.openpty()
        self._set_size(rows, columns)

        def own_terminal() -> None:
            die_with_parent()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        try:
            self._process = subprocess.Popen(
                argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=environment,
                start_new_session=True,
                preexec_fn=own_terminal,  # noqa: PLW1509 - two system calls, no lock taken
            )
        finally:
            os.close(slave)
        self.output = Output(lambda: os.read(self._master, 65536))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self.output.join(10)
        os.close(self._master)

    def write(self, data: bytes) -> None:
        """Type."""
        os.write(self._master, data)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window; the kernel tells the process by SIGWINCH."""
        self._set_size(rows, columns)

    def wait(self, timeout: float = 30) -> int:
        code = self._process.wait(timeout)
        self.output.join(timeout)
        return code

    def _set_size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
