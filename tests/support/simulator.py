"""The simulated cluster as a process of its own, with the same handles as `tests.support.apiserver`."""

import base64
import secrets
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from tests.support.kubeapi import KubeApi
from tests.support.kubectl import Kubectl
from tests.support.processes import Child, wait_until
from tests.support.stack import environment

READY = "simulated cluster ready at "


class Simulator:
    """One `python -m pipeops.sim` on loopback; everything ends with `stop()`.

    Attributes:
        url: `https://127.0.0.1:PORT`.
        admin: a client as the administrator.
    """

    def __init__(self, directory: Path, *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.admin_kubeconfig = directory / "admin.kubeconfig"
        self.agent_kubeconfig = directory / "agent.kubeconfig"
        self.ca_file = directory / "ca.crt"
        self._arguments = arguments
        self._child: Child | None = None
        self.url = ""
        self.admin: KubeApi

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it serves."""
        log = self.directory / "sim.log"
        child = Child(
            "simulated cluster",
            [
                sys.executable,
                "-m",
                "pipeops.sim",
                *("--kubeconfig", self.admin_kubeconfig),
                *("--agent-kubeconfig", self.agent_kubeconfig),
                *self._arguments,
            ],
            log=log,
            env=environment(),
        )
        self._child = child
        wait_until(lambda: READY in log.read_text(), "simulator", timeout=30, children=[child])
        self.url = log.read_text().partition(READY)[2].split()[0]
        config = yaml.safe_load(self.admin_kubeconfig.read_text())
        authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        self.ca_file.write_bytes(base64.b64decode(authority))
        self.admin = self.client(token=config["users"][0]["user"]["token"])

    def stop(self) -> None:
        """End the process. May be called twice."""
        if self._child is not None:
            self._child.stop()

    @property
    def log(self) -> str:
        """What it has printed."""
        return (self.directory / "sim.log").read_text()

    def client(self, *, token: str | None = None) -> KubeApi:
        """A client with another token, or none."""
        return KubeApi(self.url, self.ca_file, token=token)

    def kubectl_client(self, binary: Path) -> Kubectl:
        """kubectl as the administrator."""
        return Kubectl(binary, self.admin_kubeconfig, home=self.directory)

    def new_namespace(self, prefix: str = "test") -> str:
        """Create a namespace of its own for a test."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.admin.post("/api/v1/namespaces", body)
        return name
