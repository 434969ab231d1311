"""A real PostgreSQL (Debian's package) in a temporary folder, on a unix socket and, if asked to, on loopback."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def find_programs() -> Path | None:
    """Return the directory of initdb and pg_ctl, which Debian keeps out of PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


class Server:
    """PostgreSQL, run by another user where we are root, as it demands.

    Args:
        port: On 127.0.0.1 as well; 0: on the unix socket only.
    """

    def __init__(self, directory: Path, programs: Path, port: int = 0) -> None:
        self.directory = directory
        self.programs = programs
        self.port = port
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.as_user:
            shutil.chown(directory, "postgres")
        self._run(
            "initdb", "-U", "pipeops", "-A", "trust", "--no-sync", "-D", str(directory / "data")
        )
        self.start()

    def start(self) -> None:
        where = (
            f"-c listen_addresses=127.0.0.1 -p {self.port}" if self.port else "-c listen_addresses="
        )
        options = f"{where} -c unix_socket_directories={self.directory} -c fsync=off"
        subprocess.run(
            [*self.as_user, str(self.programs / "pg_ctl"), "-D", str(self.directory / "data"), "-w", "-o", options,
             "-l", str(self.directory / "log"), "start"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, cwd="/",
        )  # fmt: skip

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "-w", "stop")

    def database(self, name: str) -> str:
        """Create a database; returns its URL on the unix socket."""
        port = ("-p", str(self.port)) if self.port else ()
        self._run("createdb", "-h", str(self.directory), *port, "-U", "pipeops", name)
        return f"postgresql://pipeops@/{name}?host={self.directory}"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self.as_user, str(self.programs / program), *arguments],
            check=False, capture_output=True, timeout=60, cwd="/", text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def running_server(port: int = 0) -> Iterator[Server]:
    """A server for the length of a block; skips where there is none."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root and runuser is missing")
    # A socket's path is short, and its directory must be reachable for the other user.
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = Server(directory, programs, port)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
