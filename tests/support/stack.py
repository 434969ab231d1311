"""The product as its user runs it: control plane and agent as processes of their own, on loopback."""

import json
import os
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext, create_default_context
from types import TracebackType
from typing import Any, Self

from tests.support.certificates import Authority, write_kubeconfig
from tests.support.processes import Child, free_port, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT = 60.0  # seconds; a machine busy with other tests is slow


@dataclass(frozen=True)
class UserToken:
    """A token of the control plane and whom it impersonates."""

    token: str
    token_id: str


class Stack:
    """Control plane and agents below one folder; everything ends with `stop()`.

    Args:
        directory: For everything it writes.
        tls: The control plane has a certificate.
        hosts: Further names and addresses in that certificate.
        control_args: Further arguments of the control plane.

    Attributes:
        url: `https://127.0.0.1:PORT` of the control plane.
        ca_file: signed its certificate.
    """

    def __init__(
        self,
        directory: Path,
        *,
        tls: bool = True,
        hosts: tuple[str, ...] = (),
        control_args: tuple[str, ...] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.tls = tls
        self._control_args = control_args
        authority = Authority(directory / "pki")
        self.ca_file = authority.ca_file
        self._certificate = authority.server("control", "localhost", "127.0.0.1", *hosts)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.control: Child | None = None
        self.agents: dict[str, Child] = {}
        self._agent_arguments: dict[str, list[str | Path]] = {}
        self._agent_environment: dict[str, dict[str, str]] = {}
        self._starts = 0

    # -- control plane ---------------------------------------------------------------------

    def start_control(self) -> None:
        """Start the control plane and wait until it is ready."""
        arguments: list[str | Path] = [
            sys.executable, "-m", "pipeops.control", "--data-dir", self.directory / "control",
            "--listen", f"127.0.0.1:{self.port}", *self._control_args,
        ]  # fmt: skip
        if self.tls:
            arguments += [
                "--tls-cert",
                self._certificate.certificate,
                "--tls-key",
                self._certificate.key,
            ]
        self.control = Child("control", arguments, log=self.log("control"), env=environment())
        wait_until(self.ready, "the control plane", timeout=START_TIMEOUT, children=[self.control])

    def ready(self) -> bool:
        """The control plane answers /ready with 200."""
        try:
            return self.request("GET", "/ready")[0] == 200
        except OSError:
            return False

    @property
    def admin_token(self) -> str:
        """The administrator token that the control plane wrote at its first start."""
        return (self.directory / "control" / "admin-token").read_text().strip()

    def add_cluster(self, name: str) -> Path:
        """Register a cluster; returns the file with the agent's token."""
        status, body = self.request(
            "POST", "/api/v1/clusters", {"name": name}, token=self.admin_token
        )
        assert status == 201, body
        path = self.directory / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(body["token"])
        return path

    def add_user(self, user: str, *groups: str, clusters: list[str] | None = None) -> UserToken:
        """A user token that impersonates `user` with `groups`."""
        wanted: dict[str, Any] = {"label": f"test {user}", "user": user, "groups": list(groups)}
        if clusters is not None:
            wanted["clusters"] = clusters
        status, body = self.request("POST", "/api/v1/tokens", wanted, token=self.admin_token)
        assert status == 201, body
        return UserToken(body["token"], body["metadata"]["id"])

    def kubeconfig(self, cluster: str, token: str, *, namespace: str = "default") -> Path:
        """A kubeconfig that reaches a cluster through the control plane."""
        self._starts += 1
        return write_kubeconfig(
            self.directory / f"user-{self._starts}.kubeconfig",
            server=f"{self.url}/k8s/{cluster}",
            ca_file=self.ca_file,
            token=token,
            namespace=namespace,
        )

    # -- agents ----------------------------------------------------------------------------

    def start_agent(
        self,
        cluster: str,
        token_file: Path,
        kubeconfig: Path,
        *extra: str,
        url: str | None = None,
        env: dict[str, str] | None = None,
        wait: bool = True,
        program: str = "pipeops.agent",
    ) -> Child:
        """Start an agent and wait until its cluster can be reached; `env` is added to its environment."""
        self._agent_environment[cluster] = env or {}
        self._agent_arguments[cluster] = [
            sys.executable, "-m", program, "--pipeops-url", url or self.url, "--token-file", token_file,
            "--cluster-name", cluster, "--kubeconfig", kubeconfig, "--ca-file", self.ca_file, *extra,
        ]  # fmt: skip
        return self.restart_agent(cluster, wait=wait)

    def restart_agent(self, cluster: str, *, wait: bool = True) -> Child:
        """Start the agent of a cluster again, as it was started before."""
        state = self.directory / f"agent-{cluster}"
        state.mkdir(exist_ok=True)
        agent = Child(
            f"agent {cluster}",
            self._agent_arguments[cluster],
            log=self.log(f"agent-{cluster}"),
            env=environment(HOME=str(state), PIPEOPS_PORT="0", **self._agent_environment[cluster]),
            cwd=state,
        )
        self.agents[cluster] = agent
        if wait:
            self.wait_connected(cluster, agent)
        return agent

    def wait_connected(
        self, cluster: str, *children: Child, timeout: float = START_TIMEOUT
    ) -> float:
        """Wait until requests reach the cluster; returns the seconds it took."""
        return wait_until(
            lambda: self.connected(cluster),
            f"the agent of {cluster}",
            timeout=timeout,
            children=children,
        )

    def connected(self, cluster: str) -> bool:
        """The cluster's API server answers through the tunnel."""
        try:
            status, _ = self.request("GET", f"/k8s/{cluster}/version", token=self.admin_token)
        except OSError:
            return False
        return status == 200

    # -- both ------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request to the control plane; status and decoded body."""
        request = urllib.request.Request(self.url + path, method=method)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=self.ssl_context()),
            _KeepErrors(),
        )
        with opener.open(request, timeout=30) as answer:
            data = answer.read()
            return answer.status, _decode(data)

    def ssl_context(self) -> SSLContext:
        """Trusts the control plane's certificate."""
        return create_default_context(cafile=str(self.ca_file))

    def log(self, name: str) -> Path:
        """Log file of a process."""
        return self.directory / f"{name}.log"

    def stop(self) -> None:
        """End all processes."""
        for child in [*self.agents.values(), self.control]:
            if child is not None:
                child.stop()

    def __enter__(self) -> Self:
        self.start_control()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _KeepErrors(urllib.request.HTTPErrorProcessor):
    """4xx and 5xx are answers here, not exceptions."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def environment(**more: str) -> dict[str, str]:
    """What a process of the product gets to see: nothing of the tester's own set-up."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY / "src"), "PYTHONUNBUFFERED": "1", **more}


def seconds_until(condition: Any, timeout: float) -> float:
    """Seconds until `condition()` holds.

    Raises:
        TimeoutError: it does not within `timeout`.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise TimeoutError(f"not within {timeout:g} s")
        time.sleep(0.05)
    return time.monotonic() - began
