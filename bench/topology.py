"""What a run measures: backends, nginx in front of them, and our control plane with its agents."""

import importlib.util
import json
import shutil
import ssl
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

from bench import certificates, nginx
from bench.processes import BenchError, Processes, Running, fetch, free_port, port_open, wait_until

# The "clusters": nginx's files, uploads and watches, and a pod that echoes behind TLS.
STATIC, PYTHON, EXEC = "static", "python", "exec"
FORWARD = "bench"
KUBERNETES = "kubernetes.default:443"
#: Environment of an agent that forwards its cluster's API server; native ones forward nothing else of it.
OWN_FORWARD = {"TUNNEL_FORWARDS": json.dumps([{"name": FORWARD, "local_addr": "localhost:6443"}])}


@dataclass(frozen=True)
class Target:
    """Something that requests are sent to: scheme, port, and prefix of every path."""

    name: str
    port: int
    tls: bool
    prefix: str = ""
    token: str = ""

    def url(self, path: str) -> str:
        """Absolute URL of a path of the API server."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.prefix}{path}"


@dataclass
class Plane:
    """One control plane with an agent for each backend."""

    tls: bool
    port: int
    control: Running
    token: str
    agents: dict[str, Running] = field(default_factory=dict)

    def target(self, cluster: str) -> Target:
        """Requests to one of the clusters through the whole path."""
        return Target("pipeops", self.port, self.tls, f"/k8s/{cluster}", self.token)


class Topology:
    """Starts parts when they are first asked for; a context manager that ends them all."""

    def __init__(self) -> None:
        base = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self._directory = tempfile.mkdtemp(prefix="pipeops-bench-", dir=base)
        self.directory = Path(self._directory)
        self.processes = Processes(self.directory)
        self.backends: dict[str, int] = {}  # API servers of further clusters
        self._planes: dict[bool, Plane] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.processes.stop()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    @cached_property
    def certificates(self) -> certificates.Certificates:
        """Authority and server certificate of this run."""
        return certificates.make(self.directory)

    @property
    def static_port(self) -> int:
        """nginx serving files."""
        return self._static_ports[0]

    @property
    def service_port(self) -> int:
        """The same server as a Service: an agent dials no Service where its API server is."""
        return self._static_ports[1]

    @cached_property
    def _static_ports(self) -> tuple[int, int]:
        port, service = free_port(), free_port()
        nginx.start_backend(self.processes, port, service)
        return port, service

    @cached_property
    def python_port(self) -> int:
        """The upload sink and watch source."""
        port = free_port()
        command = [sys.executable, "-m", "bench.backend", str(port)]
        self.processes.start("backend-python", command, ready=port_open(port))
        return port

    @cached_property
    def exec_port(self) -> int:
        """The API server whose pod echoes."""
        port, pair = free_port(), self.certificates
        files = map(str, (pair.certificate, pair.key, pair.authority))
        command = [sys.executable, "-m", "bench.exec_backend", str(port), *files]
        self.processes.start("backend-exec", command, ready=port_open(port))
        return port

    @cached_property
    def _ng1(self) -> tuple[int, int, Running]:
        plain, tls = free_port(), free_port()
        running = nginx.start_proxy(
            self.processes,
            backend=self.static_port,
            python=self.python_port,
            plain=plain,
            tls=tls,
            certificates=self.certificates,
        )
        return plain, tls, running

    @property
    def ng1_process(self) -> Running:
        """The reverse proxy."""
        return self._ng1[2]

    def ng1(self, *, tls: bool) -> Target:
        """nginx as a reverse proxy of one hop."""
        return Target("ng1", self._ng1[1 if tls else 0], tls)

    def direct(self, cluster: str) -> Target:
        """A backend without anything in front."""
        return Target("direct", self.backend_port(cluster), cluster == EXEC)

    def backend_port(self, cluster: str) -> int:
        """Port of a cluster's API server."""
        if cluster in self.backends:
            return self.backends[cluster]
        if cluster == EXEC:
            return self.exec_port
        return self.static_port if cluster == STATIC else self.python_port

    def client_context(self) -> ssl.SSLContext:
        """For clients of TLS targets."""
        return self.certificates.client_context()

    def client(self, target: Target, label: str, *arguments: str | float) -> Running:
        """Start `bench.client` against a target; its output is the log."""
        description = {**asdict(target), "authority": str(self.certificates.authority)}
        command = [sys.executable, "-m", "bench.client", json.dumps(description)]
        return self.processes.start(label, [*command, *map(str, arguments)])

    def plane(self, *, tls: bool) -> Plane:
        """Our control plane with both agents, plain or TLS throughout."""
        if tls not in self._planes:
            plane = self.start_control(tls=tls, label=f"control-{'tls' if tls else 'plain'}")
            self._planes[tls] = plane
            for cluster in (STATIC, PYTHON):
                plane.agents[cluster] = self.start_agent(plane, cluster)
        return self._planes[tls]

    def public_options(self) -> tuple[int, tuple[str, ...]]:
        """Port and options of a public gateway with TLS, whose hosts belong to who comes first."""
        port, pair = free_port(), self.certificates
        options = ["--public-https", f"127.0.0.1:{port}", "--route-hosts", "first-come"]
        options += ["--certificate-dir", str(pair.certificate.parent)]
        options += ["--default-certificate", pair.certificate.stem]
        return port, (*options, "--public-direct-private")

    def start_control(self, *, tls: bool, label: str, options: tuple[str, ...] = ()) -> Plane:
        """A control plane of its own, without agents."""
        port = free_port()
        data = self.directory / f"{label}.data"
        if tls:
            pair = self.certificates
            options += ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
        command = [sys.executable, "-m", "pipeops.control", "--data-dir", str(data)]
        command += ["--listen", f"127.0.0.1:{port}", "--log-format", "json", *options]
        token_file = data / "admin-token"
        control = self.processes.start(
            label, command, ready=lambda: port_open(port)() and token_file.exists()
        )
        return Plane(tls, port, control, token_file.read_text().strip())

    def call(self, plane: Plane, path: str, data: bytes | None = None) -> tuple[int, bytes]:
        """One request to a control plane, as its administrator."""
        context = self.client_context() if plane.tls else None
        scheme = "https" if plane.tls else "http"
        url = f"{scheme}://127.0.0.1:{plane.port}{path}"
        return fetch(url, token=plane.token, data=data, context=context)

    def connection(self, plane: Plane, cluster: str) -> dict[str, object]:
        """What the control plane says about a cluster's agent: dialect, lanes."""
        status, answer = self.call(plane, f"/api/v1/clusters/{cluster}")
        if status != 200:
            raise BenchError(f"cluster {cluster} is not known ({status}): {answer[:300]!r}")
        return dict(json.loads(answer)["connection"])

    def add_forward(self, plane: Plane, cluster: str) -> None:
        """Let a port of the control plane lead to the cluster's API server, by raw TCP."""
        body = json.dumps({"name": FORWARD, "target": KUBERNETES}).encode()
        status, answer = self.call(plane, f"/api/v1/clusters/{cluster}/forwards", body)
        if status != 201:
            raise BenchError(f"no forward to {cluster} ({status}): {answer[:300]!r}")

    def forward(self, plane: Plane, cluster: str) -> Target:
        """The port that leads there: added here, or written into the agent's settings (`OWN_FORWARD`)."""
        _, answer = self.call(plane, "/api/v1/forwards")
        for item in json.loads(answer)["items"]:
            if (item["cluster"], item["status"]) == (cluster, "listening"):
                return Target(f"forward-{cluster}", int(item["remote_port"]), False)
        raise BenchError(f"no forward to {cluster}: {answer[:600]!r}")

    def cluster_token(self, plane: Plane, name: str) -> str:
        """Register a cluster; returns the token for its agent."""
        body = json.dumps({"name": name}).encode()
        status, answer = self.call(plane, "/api/v1/clusters", body)
        if status != 201:
            raise BenchError(f"cluster {name} could not be added ({status}): {answer[:300]!r}")
        return str(json.loads(answer)["token"])

    def connected(self, plane: Plane, cluster: str) -> bool:
        """A request reaches the cluster's API server."""
        return self.call(plane, f"/k8s/{cluster}{nginx.SMALL}")[0] in (200, 404)

    def start_agent(
        self,
        plane: Plane,
        cluster: str,
        *,
        port: int | None = None,
        name: str | None = None,
        program: tuple[str, ...] = ("pipeops.agent",),
        environment: Mapping[str, str] | None = None,
        more: Sequence[str] = (),
    ) -> Running:
        """An agent for a cluster, dialling `port` (a relay) instead of the control plane's own if given.

        `program`: its module, and what comes before its arguments; `more`: what comes after them.
        """
        name = name or cluster
        label = f"agent-{name}-{plane.control.label}"
        token_file = self._token_file(plane, name)
        if not token_file.exists():
            token_file.write_text(self.cluster_token(plane, name))
            token_file.chmod(0o600)
        command = [sys.executable, "-m", *program]
        command += self._agent_options(plane, cluster, port or plane.port, token_file)
        running = self.processes.start(label, [*command, *more], environment=environment)
        wait_until(lambda: self.connected(plane, name), 20, running)
        return running

    def agent_token(self, plane: Plane, name: str) -> str:
        """The token of a cluster's agent that was started."""
        return self._token_file(plane, name).read_text()

    def _token_file(self, plane: Plane, name: str) -> Path:
        return self.directory / f"agent-{name}-{plane.control.label}.token"

    def _agent_options(self, plane: Plane, cluster: str, port: int, token_file: Path) -> list[str]:
        kubeconfig = self.directory / f"{cluster}.kubeconfig"
        server: dict[str, str] = {"server": f"http://127.0.0.1:{self.backend_port(cluster)}"}
        if cluster == EXEC:
            server = {
                "server": f"https://127.0.0.1:{self.exec_port}",
                "certificate-authority": str(self.certificates.authority),
            }
        kubeconfig.write_text(json.dumps(_kubeconfig(server)))
        url = f"{'https' if plane.tls else 'http'}://127.0.0.1:{port}"
        command = ["--port", "0", "--pipeops-url", url]
        command += ["--kubeconfig", str(kubeconfig), "--token-file", str(token_file)]
        command += ["--agent-id", token_file.stem, "--cluster-name", cluster]
        command += ["--state-file", f"{token_file}.state", "--log-format", "json"]
        if plane.tls:
            command += ["--ca-file", str(self.certificates.authority)]
        return command


def _kubeconfig(server: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": server}],
        "users": [{"name": "agent", "user": {"token": "bench-service-account-token"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "agent"}}],
    }


def missing_programs() -> list[str]:
    """What has to be installed first, as Debian names it."""
    wanted = {"nginx-light": nginx.program(), "wrk": shutil.which("wrk")}
    missing = [name for name, found in wanted.items() if not found]
    if importlib.util.find_spec("cryptography") is None:
        missing.append("the Python package cryptography (extra 'control')")
    return missing
