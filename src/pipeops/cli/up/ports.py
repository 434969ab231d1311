"""Ports: chosen once, remembered, and who holds one that is busy."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeops.cli.failures import CliError, ExitCode

LOOPBACK = "127.0.0.1"

_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens on a port."""

    pid: int
    command: str


def choose_port(purpose: str, *, remembered: int | None, wanted: int | None, default: int) -> int:
    """Return the port to use on the loopback address.

    A port that was asked for or used before must be free: kubeconfigs and agents point to it. On the first run any
    free port will do where the default one is busy.

    Raises:
        CliError: The port is busy; the message names the holder where the system shows it.
    """
    fixed = wanted or remembered
    if fixed is not None:
        if not is_free(fixed):
            raise CliError(
                f"port {fixed} for {purpose} is in use{_by(find_holder(fixed))}",
                hint="stop that program, or choose another port with --port"
                if purpose == "the control plane"
                else "stop that program",
                code=ExitCode.CONFLICT,
            )
        return fixed
    return default if is_free(default) else any_free()


def is_free(port: int) -> bool:
    """Whether we could listen on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    """Return a port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def find_holder(port: int, proc: Path = Path("/proc")) -> Holder | None:
    """Find the process that listens on a TCP port; None where /proc does not show it to us."""
    inodes = set(_listening_inodes(port, proc))
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for directory in proc.iterdir():
        if directory.name.isdigit() and _has_open(directory / "fd", wanted):
            return Holder(int(directory.name), _command(directory))
    return None


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    suffix = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[1].endswith(suffix) and fields[3] == _LISTENING:
                yield fields[9]


def _has_open(directory: Path, wanted: set[str]) -> bool:
    try:
        descriptors = list(directory.iterdir())
    except OSError:
        return False  # another user's process, or one that has just ended
    for descriptor in descriptors:
        try:
            if str(descriptor.readlink()) in wanted:
                return True
        except OSError:
            continue
    return False


def _command(directory: Path) -> str:
    try:
        words = (directory / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown"
    # Arguments may hold other people's secrets: the program and its first word are enough.
    return " ".join(word.decode("utf-8", "replace") for word in words[:3] if word)[:80]


def _by(holder: Holder | None) -> str:
    return "" if holder is None else f" by process {holder.pid} ({holder.command})"
