"""Builds the Go test binaries once and keeps them outside the tree."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import progress

TESTS = Path(__file__).resolve().parent.parent
KUBERNETES_PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
)


class BuildFailedError(RuntimeError):
    """The Go compiler is there and refused; the message carries the end of its output."""


@dataclass(frozen=True)
class Built:
    """A built binary, or why there is none."""

    path: Path | None
    reason: str = ""


def cache_home() -> Path:
    """The folder for what tests build or download; it outlives a checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pipeops"


def yamuxpeer() -> Path | None:
    """hashicorp/yamux behind a command line, or None without Go (`build` has the reason)."""
    return build(TESTS / "interop" / "yamuxpeer", "yamuxpeer").path


def cluster() -> Built:
    """The multi-call Kubernetes binary; beside it lies a symbolic link for each program."""
    module = TESTS / "cluster"
    built = build(module, "cluster", tags=("providerless",), variables=_kubernetes_version(module))
    if built.path is not None:
        for name in KUBERNETES_PROGRAMS:
            with contextlib.suppress(FileExistsError):
                (built.path.parent / name).symlink_to(built.path.name)
    return built


def pebble() -> Built:
    """Pebble, Let's Encrypt's ACME server for tests; its DNS server lies beside it as `challtestsrv`."""
    module = TESTS / "integration" / "pebble"
    package = "github.com/letsencrypt/pebble/v2/cmd/pebble"
    build(module, "challtestsrv", package=f"{package}-challtestsrv")
    return build(module, "pebble", package=package)


def build(
    module: Path,
    name: str,
    *,
    tags: tuple[str, ...] = (),
    variables: dict[str, str] | None = None,
    package: str = ".",
) -> Built:
    """Build the main package of a Go module, or a program that it requires, unless a build of the same sources is cached.

    Safe to call from several processes at once: one builds, the others wait.

    Args:
        module: Folder with `go.mod`.
        name: File name of the binary.
        tags: Build tags.
        variables: String variables set by the linker (`-X`).
        package: What to build.

    Raises:
        BuildFailedError: The compiler or a download failed.
    """
    go = shutil.which("go")
    if go is None:
        return Built(None, f"Go is not installed (needed to build {module.name})")
    flags = ["-s", "-w"]
    for key, value in sorted((variables or {}).items()):
        flags += ["-X", f"{key}={value}"]
    command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
    if tags:
        command += ["-tags", ",".join(tags)]
    command += ["-ldflags", " ".join(flags)]
    folder = cache_home() / "test-bin" / _fingerprint(go, module, command[1:])
    target = folder / name
    if target.exists():
        return Built(target)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", f"the build of {name}"):
        if not target.exists():
            _compile([*command, package], module, target)
    return Built(target)


def _fingerprint(go: str, module: Path, arguments: list[str]) -> str:
    version = subprocess.run(
        [go, "env", "GOVERSION", "GOOS", "GOARCH"],
        cwd=module,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    digest = hashlib.sha256("\0".join([version, *arguments]).encode())
    for path in sorted(module.rglob("*")):
        if path.suffix == ".go" or path.name in {"go.mod", "go.sum"}:
            digest.update(f"\0{path.relative_to(module)}\0".encode())
            digest.update(path.read_bytes())
    return f"{module.name}-{digest.hexdigest()[:16]}"


def _compile(command: list[str], module: Path, target: Path) -> None:
    """Run `command`, whose last word is the package."""
    progress(f"building {target.name} with Go (once; minutes when the compiler's cache is cold)")
    began = time.monotonic()
    environment = dict(os.environ, CGO_ENABLED="0", GOFLAGS="", GOWORK="off")
    niced = ["nice", "-n", "10"] if shutil.which("nice") else []
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        output = Path(scratch) / target.name
        process = subprocess.Popen(
            [*niced, *command[:-1], "-o", str(output), command[-1]],
            cwd=module,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        done = threading.Event()
        ticker = threading.Thread(target=_tick, args=(done, target.name, began), daemon=True)
        ticker.start()
        try:
            text, _ = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            done.set()
            ticker.join()
        if process.returncode != 0:
            raise BuildFailedError(f"go build of {module} failed:\n{text[-4000:]}")
        output.replace(target)
    progress(f"built {target.name} in {time.monotonic() - began:.0f} s")


def _tick(done: threading.Event, name: str, began: float) -> None:
    while not done.wait(20):
        progress(f"still building {name} ({time.monotonic() - began:.0f} s)")


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file against other processes; says so when it has to wait."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process does {what}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _kubernetes_version(module: Path) -> dict[str, str]:
    """Linker variables with the release from `go.mod`: without them the servers call themselves v0.0.0-master."""
    match = re.search(r"k8s\.io/kubernetes (v1\.(\d+)\.\d+)", (module / "go.mod").read_text())
    if match is None:
        raise BuildFailedError(f"{module}/go.mod does not require k8s.io/kubernetes")
    return {
        f"k8s.io/{package}.{variable}": value
        for package in ("component-base/version", "client-go/pkg/version")
        for variable, value in (
            ("gitVersion", match[1]),
            ("gitMajor", "1"),
            ("gitMinor", match[2]),
            ("gitTreeState", "clean"),
        )
    }
