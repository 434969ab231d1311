"""Home: where `pipeops up` keeps what must survive, and the lock that keeps a second one out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import CONFIG_FILE


@dataclass(frozen=True, slots=True)
class Home:
    """The state directory and the names of what is in it."""

    root: Path

    @property
    def control(self) -> Path:
        """Data of the control plane."""
        return self.root / "control"

    @property
    def admin_token(self) -> Path:
        """Administrator token that the control plane writes on its first start."""
        return self.control / "admin-token"

    @property
    def sim(self) -> Path:
        """State of the simulated cluster."""
        return self.root / "sim"

    @property
    def agent(self) -> Path:
        """State and token of the agent."""
        return self.root / "agent"

    @property
    def tls(self) -> Path:
        """Certificate authority and server certificate."""
        return self.root / "tls"

    @property
    def logs(self) -> Path:
        """Logs of the children."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """What an earlier run decided."""
        return self.root / "state.json"

    @property
    def user_token(self) -> Path:
        """Token of the person at the keyboard."""
        return self.root / "user-token"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig that leads through the tunnel."""
        return self.root / "kubeconfig"

    @property
    def config(self) -> Path:
        """Configuration of the other commands."""
        return self.root / CONFIG_FILE

    def prepare(self) -> None:
        """Make the directories, closed to everybody else.

        Raises:
            CliError: They cannot be made or written.
        """
        try:
            for path in (self.root, self.sim, self.agent, self.tls, self.logs):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            writable = os.access(self.root, os.W_OK | os.X_OK)
        except OSError as error:
            raise CliError(
                f"the state directory {self.root} cannot be made: {error.strerror}",
                hint="choose another with --home or PIPEOPS_HOME",
            ) from error
        if not writable:
            raise CliError(
                f"the state directory {self.root} is not writable",
                hint="choose another with --home or PIPEOPS_HOME, or correct its owner and mode",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this home; the kernel lets go of it if the process dies.

        Raises:
            CliError: Another `pipeops up` holds it.
        """
        path = self.root / "up.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                pid = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
                raise CliError(
                    f"`pipeops up` runs already with {self.root} (process {pid})",
                    hint=f"use it as it is, stop it with `kill {pid}`, or choose another --home",
                    code=ExitCode.CONFLICT,
                ) from error
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)
