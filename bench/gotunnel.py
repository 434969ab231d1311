"""Builds and starts the Go tunnel of `bench/go`, where Go is present."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from bench.processes import BenchError, Running, free_port, port_open
from bench.topology import STATIC, Target, Topology

SOURCE = Path(__file__).parent / "go"


def build() -> Path | None:
    """The binary, from the cache if its sources have not changed; None without Go."""
    go = shutil.which("go")
    if go is None:
        return None
    digest = hashlib.sha256()
    for name in ("main.go", "go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pipeops" / "bench"
    binary = cache / f"gotunnel-{digest.hexdigest()[:16]}"
    if not binary.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = binary.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [go, "build", "-trimpath", "-buildvcs=false", "-o", str(fresh), "."],
            cwd=SOURCE,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"the Go tunnel could not be built:\n{done.stderr[-2000:]}")
        fresh.replace(binary)
    return binary


def start(topology: Topology, binary: Path) -> tuple[Target, list[Running]]:
    """Gateway and agent in front of the static backend."""
    clients, tunnel = free_port(), free_port()
    addresses = ["-clients", f"127.0.0.1:{clients}", "-tunnel", f"127.0.0.1:{tunnel}"]
    backend = ["-backend", f"127.0.0.1:{topology.backend_port(STATIC)}"]
    gateway = topology.processes.start(
        "go-gateway", [str(binary), *addresses], ready=port_open(clients)
    )
    command = [str(binary), "-mode", "agent", *addresses, *backend]
    agent = topology.processes.start("go-agent", command)
    return Target("go", clients, tls=False), [gateway, agent]
