"""The kubectl commands that a fault interrupts, and what each must tell its user."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.kubectl import Background, Kubectl
from tests.support.processes import wait_until

BOUND = 20.0  # seconds from the fault to the command's end


@dataclass
class Ended:
    """How one command ended."""

    seconds: float
    code: int
    said: str


@dataclass
class Flow:
    """One command under way. `name` is its row in docs/reference/failures.md."""

    name: str
    process: Background
    began: float = field(default_factory=time.monotonic)
    ended: Ended | None = None

    def poll(self, fault_at: float) -> bool:
        """Whether it has ended; remembers how."""
        if self.ended is None and not self.process.running:
            seconds = time.monotonic() - fault_at
            code = self.process.wait(5)
            self.ended = Ended(seconds, code, bytes(self.process.stderr).decode(errors="replace"))
        return self.ended is not None

    def objection(self) -> str | None:
        """What is wrong with how it ended; None: as documented."""
        end = self.ended
        if end is None:
            return f"{self.name}: still running {BOUND:g} s after the fault"
        if end.seconds > BOUND:
            return f"{self.name}: ended only after {end.seconds:.1f} s"
        if self.name == "get -w":
            # kubectl ends a watch with 0 whatever happened to it.
            return None if end.code == 0 else f"get -w: exit {end.code}: {end.said}"
        if end.code == 0:
            return f"{self.name}: exit 0 although it was cut short"
        if not end.said.strip():
            return f"{self.name}: exit {end.code} without a word"
        return None


@dataclass(frozen=True)
class Place:
    """What the commands work on.

    Attributes:
        root: The pod's file system as the stub node keeps it.
        big: A local file that takes much longer to copy than a fault takes to happen.
    """

    kubectl: Kubectl
    pod: str
    root: Path
    big: Path
    scratch: Path


def start_all(place: Place) -> list[Flow]:
    """Start every command and return once each is in the middle of its work."""
    kubectl, pod = place.kubectl, place.pod
    download, upload = place.scratch / "download", place.root / "upload"
    for left in (download, upload):
        left.unlink(missing_ok=True)
    flows = [
        Flow("get -w", kubectl.start("get", "configmaps", "--watch", "-o", "name")),
        Flow("logs -f", kubectl.start("logs", "-f", pod, "--tail=1")),
        Flow("exec", kubectl.start("exec", pod, "--", "sh", "-c", "echo running; exec sleep 900")),
    ]
    try:
        flows[0].process.stdout.expect(b"configmap/", timeout=30)
        flows[1].process.stdout.expect(b"line ", timeout=30)
        flows[2].process.stdout.expect(b"running", timeout=30)
        flows += [
            Flow("cp to the pod", kubectl.start("cp", str(place.big), f"{pod}:upload")),
            Flow("cp from the pod", kubectl.start("cp", f"{pod}:big", str(download))),
        ]
        for path in (upload, download):
            wait_until(lambda path=path: _size(path) > 1 << 20, f"{path.name}", timeout=30)
        for flow in flows:
            assert flow.process.running, f"{flow.name}: {bytes(flow.process.stderr)!r}"
    except BaseException:
        stop_all(flows)
        raise
    return flows


def stop_all(flows: list[Flow]) -> None:
    for flow in flows:
        flow.process.kill()


def watch_end(flows: list[Flow], fault_at: float) -> None:
    """Until all have ended, or the time is over."""
    while time.monotonic() - fault_at < BOUND + 2:
        running = [flow for flow in flows if not flow.poll(fault_at)]
        if not running:
            return
        time.sleep(0.02)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
