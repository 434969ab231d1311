"""Processes of a run: started in their own groups, watched, always ended; and what /proc says about them."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 5.0


class BenchError(RuntimeError):
    """The run cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Memory:
    """Memory of a process in KiB: resident, proportional and unique set size."""

    rss: int
    pss: int
    uss: int


class Running:
    """One started program."""

    def __init__(self, label: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.label = label
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        self.check()
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> Memory:
        """Current memory, from smaps_rollup."""
        self.check()
        values = {}
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            values[name] = int(rest.split()[0])
        unique = values["Private_Clean"] + values["Private_Dirty"]
        return Memory(values["Rss"], values["Pss"], unique)

    def peak(self) -> int:
        """Largest resident set so far, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def answer(self, seconds: float, line: int = 0) -> dict[str, Any]:
        """A line of JSON that the program prints, waited for."""
        deadline = time.monotonic() + seconds
        while len(lines := self.log.read_text().splitlines()) <= line:
            if self.process.poll() not in (None, 0) or time.monotonic() > deadline:
                raise BenchError(f"{self.label} printed no answer:\n{self.tail()}")
            time.sleep(0.02)
        try:
            return dict(json.loads(lines[line]))
        except ValueError:
            raise BenchError(f"{self.label} failed:\n{self.tail()}") from None

    def check(self) -> None:
        """Raise if the program has ended."""
        if self.process.poll() is not None:
            raise BenchError(
                f"{self.label} ended with code {self.process.returncode}:\n{self.tail()}"
            )

    def tail(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_bytes()[-3000:].decode("utf-8", "replace")
        except OSError:
            return ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this program."""
        if self.process.poll() is None:
            self.process.send_signal(number)


class Processes:
    """Owns everything a run starts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[Running] = []

    def start(
        self,
        label: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        seconds: float = 20.0,
    ) -> Running:
        """Start a program and wait until `ready` answers True."""
        log = self.directory / f"{label}.log"
        if not any(running.label == label for running in self._running):
            log.unlink(missing_ok=True)
        # Appending, so that `trim_logs` can empty the file under the program.
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        running = Running(label, process, log)
        self._running.append(running)
        if ready is not None:
            wait_until(ready, seconds, running)
        return running

    def trim_logs(self) -> None:
        """Empty the logs: access logs of a load test would fill the memory file system."""
        for running in self._running:
            if running.log.stat().st_size > 8 * 1024 * 1024:
                os.truncate(running.log, 0)

    def check(self) -> None:
        """Raise if any program has ended."""
        for running in self._running:
            running.check()

    def stop(self, *which: Running) -> None:
        """End these programs, or all: SIGTERM first, SIGKILL after STOP_SECONDS."""
        chosen = [r for r in reversed(self._running) if not which or r in which]
        for running in chosen:
            running.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for running in chosen:
            try:
                running.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.process.wait()
            self._running.remove(running)


def wait_until(ready: Callable[[], bool], seconds: float, running: Running | None = None) -> None:
    """Poll until `ready`; raises BenchError after `seconds` or when the program ends."""
    deadline = time.monotonic() + seconds
    while not ready():
        if running is not None:
            running.check()
        if time.monotonic() > deadline:
            what = running.label if running else "a condition"
            raise BenchError(
                f"{what} was not ready within {seconds:g} s:\n{running.tail() if running else ''}"
            )
        time.sleep(0.02)


def port_open(port: int) -> Callable[[], bool]:
    """A `ready` condition: something listens on this loopback port."""

    def ready() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            return False
        return True

    return ready


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(
    url: str,
    *,
    token: str | None = None,
    data: bytes | None = None,
    context: object = None,
    seconds: float = 10.0,
) -> tuple[int, bytes]:
    """One HTTP request, bypassing proxies; status 0 when there was no answer."""
    request = urllib.request.Request(url, data=data)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if data is not None:
        request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=context),  # type: ignore[arg-type]
    )
    try:
        with opener.open(request, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""
