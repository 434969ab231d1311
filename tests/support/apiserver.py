"""A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager, with RBAC and audit."""

import json
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import audit
from tests.support.certificates import (
    Authority,
    KeyPair,
    service_account_key,
    write_kubeconfig,
)
from tests.support.kubeapi import KubeApi, KubeApiError
from tests.support.kubectl import Kubectl
from tests.support.processes import Child, ChildExitedError, free_port, progress, wait_until
from tests.support.programs import Programs

REPOSITORY = Path(__file__).resolve().parents[2]
RBAC = REPOSITORY / "deploy" / "manifests" / "rbac.yaml"
AGENT_NAMESPACE = "pipeops-system"
AGENT_ACCOUNT = "pipeops-agent"


class ApiServer:
    """One control plane with its own certificates, state and ports.

    Everything lives in one temporary folder and in child processes of the calling thread; both are gone
    after `stop()`, and the processes also when this process dies.

    Attributes:
        url: `https://127.0.0.1:PORT`; it stays the same across restarts.
        ca_file: The authority that signed the server's certificate.
        admin_kubeconfig: A member of `system:masters`.
        agent_kubeconfig: The ServiceAccount `pipeops-system/pipeops-agent` with `deploy/manifests/rbac.yaml` only.
        programs: The binaries it runs.
        kubectl: A kubectl binary of the server's own release.
        audit_log: JSON lines, level Metadata, every request; read it with `tests.support.audit`.
        node_log: What the stub kubelet was asked for, and by which protocol.
        admin: A client with the administrator's certificate.
    """

    def __init__(
        self,
        programs: Programs,
        *,
        nodes: int = 1,
        controllers: bool = True,
        scheduler: bool = False,
        extra_args: tuple[str, ...] = (),
    ) -> None:
        """Prepare; nothing runs before `start()`.

        Args:
            programs: What `programs.find_programs()` found.
            nodes: Stub nodes, named `node-1`, `node-2`, …; the API server hands WebSockets through to those
                with an even number and translates them to SPDY for the others.
            controllers: Run kube-controller-manager (Deployments, ServiceAccounts, garbage collection).
            scheduler: Run kube-scheduler; otherwise the stub nodes take unscheduled pods themselves.
            extra_args: Further flags of kube-apiserver.
        """
        self.directory = Path(tempfile.mkdtemp(prefix="pipeops-cluster-"))
        self.kubectl = programs.kubectl
        self.ca_file = self.directory / "pki" / "ca.crt"
        self.admin_kubeconfig = self.directory / "admin.kubeconfig"
        self.agent_kubeconfig = self.directory / "agent.kubeconfig"
        self.audit_log = self.directory / "audit.log"
        self.node_log = self.directory / "node.log"
        self.node_names = [f"node-{number + 1}" for number in range(nodes)]
        self.programs = programs
        self._controllers = controllers and programs.controller_manager is not None
        self._scheduler = scheduler and programs.scheduler is not None
        self._extra_args = extra_args
        self._authority = Authority(self.directory / "pki")
        self._clients: dict[str, KeyPair] = {}
        self._children: dict[str, Child] = {}
        self._port = 0
        self._write_pki()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def has_controllers(self) -> bool:
        """Whether Deployments roll out and namespaces get their default ServiceAccount."""
        return self._controllers

    @property
    def admin(self) -> KubeApi:
        return self._admin

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by program, for measurements."""
        return {name: child.pid for name, child in self._children.items() if child.running}

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
        """Start everything and wait until it is ready; on failure nothing is left running.

        Raises:
            ChildExitedError: A program refused to start; the message has the end of its log.
            TimeoutError: Not ready in time.
        """
        began = time.monotonic()
        try:
            self._start_storage_and_api()
            self._start_controllers()
            self._install_agent_rbac()
            self._start_nodes()
        except BaseException:
            self.stop()
            raise
        progress(f"Kubernetes API at {self.url} after {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """End every process, newest first, and remove the folder. May be called twice."""
        for name in ("node", "kube-scheduler", "kube-controller-manager"):
            if name in self._children:
                self._children[name].stop(3)
        # Nothing of these two is kept, so there is nothing to wait for.
        for name in ("kube-apiserver", "etcd"):
            if name in self._children:
                self._children[name].kill()
        self._children.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill_apiserver(self) -> None:
        """SIGKILL for kube-apiserver: connections end with a reset, the address refuses connections."""
        self._children["kube-apiserver"].kill()

    def stop_apiserver(self, grace: float = 3.0) -> None:
        """SIGTERM, as in an upgrade: readiness fails, requests end, and after `grace` seconds watches are cut."""
        self._children["kube-apiserver"].stop(grace)

    def start_apiserver(self) -> None:
        """Start kube-apiserver again, on the same port, with the same state."""
        child = self._spawn("kube-apiserver", self.programs.apiserver, self._apiserver_args())
        wait_until(self.admin.ready, "kube-apiserver", timeout=90, children=[child])

    def restart_apiserver(self, *, kill: bool = False) -> None:
        """Stop (or kill) kube-apiserver and start it again."""
        if kill:
            self.kill_apiserver()
        else:
            self.stop_apiserver()
        self.start_apiserver()

    def service_account_token(self, namespace: str, name: str, *, seconds: int = 600) -> str:
        """Mint a token for a ServiceAccount with TokenRequest (the server allows no less than 600 seconds)."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.admin.post(path, body)["status"]["token"])

    def client(self, *, token: str | None = None, user: KeyPair | None = None) -> KubeApi:
        """A client with another credential."""
        return KubeApi(self.url, self.ca_file, token=token, client=user)

    def user(self, name: str, *groups: str) -> KeyPair:
        """A client certificate for any user, for example to compare with an impersonated one."""
        return self._authority.client(f"user-{secrets.token_hex(4)}", name, *groups)

    def kubectl_client(
        self, *, binary: Path | None = None, kubeconfig: Path | None = None
    ) -> Kubectl:
        """kubectl as the administrator, or with another binary or kubeconfig."""
        return Kubectl(
            binary or self.kubectl, kubeconfig or self.admin_kubeconfig, home=self.directory
        )

    def new_namespace(self, prefix: str = "test") -> str:
        """Create a namespace of its own for a test, usable at once."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.admin.post(
            "/api/v1/namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        )
        if self._controllers:
            path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
            wait_until(lambda: self._exists(path), f"ServiceAccount of {name}", timeout=30)
        return name

    def _exists(self, path: str) -> bool:
        try:
            self.admin.get(path)
        except KubeApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _write_pki(self) -> None:
        authority, pki = self._authority, self.directory / "pki"
        self._serving = authority.server(
            "apiserver",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "127.0.0.1",
            "10.0.0.1",
            common_name="kube-apiserver",
        )
        self._clients = {
            "admin": authority.client("admin", "admin", "system:masters"),
            "kube-controller-manager": authority.client(
                "kube-controller-manager", "system:kube-controller-manager"
            ),
            "kube-scheduler": authority.client("kube-scheduler", "system:kube-scheduler"),
            "kubelet": authority.client(
                "kubelet-client", "kube-apiserver-kubelet-client", "system:masters"
            ),
        }
        self._kubelet_serving = authority.server(
            "kubelet", "127.0.0.1", "localhost", common_name="system:node:stub"
        )
        self._signing = service_account_key(pki)

    def _start_storage_and_api(self) -> None:
        for attempt in range(3):
            try:
                self._port = free_port()
                for name in ("admin", "kube-controller-manager", "kube-scheduler"):
                    write_kubeconfig(
                        self.directory / f"{name}.kubeconfig",
                        server=self.url,
                        ca_file=self.ca_file,
                        client=self._clients[name],
                    )
                self._admin = self.client(user=self._clients["admin"])
                self._etcd_url = f"http://127.0.0.1:{free_port()}"
                self._spawn("etcd", self.programs.etcd, self._etcd_args())
                self.start_apiserver()
            except ChildExitedError as error:
                # Another process took a port between our look and the server's bind.
                if "address already in use" not in str(error) or attempt == 2:
                    raise
                for child in self._children.values():
                    child.kill()
                shutil.rmtree(self.directory / "etcd", ignore_errors=True)
            else:
                return

    def _spawn(self, name: str, program: Path, args: list[str]) -> Child:
        child = Child(name, [program, *args], log=self.directory / f"{name}.log")
        self._children[name] = child
        return child

    def _etcd_args(self) -> list[str]:
        peer = f"http://127.0.0.1:{free_port()}"
        return [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_args(self) -> list[str]:
        policy = self.directory / "audit-policy.json"
        policy.write_text(json.dumps(audit.POLICY))
        kubelet = self._clients["kubelet"]
        # Without the controller manager nobody creates the default ServiceAccounts that pods would need.
        disabled = [] if self._controllers else ["--disable-admission-plugins=ServiceAccount"]
        return [
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--cert-dir={self.directory / 'generated'}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.ca_file}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            *disabled,
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self._signing.certificate}",
            f"--service-account-signing-key-file={self._signing.key}",
            "--allow-privileged=true",
            f"--kubelet-certificate-authority={self.ca_file}",
            f"--kubelet-client-certificate={kubelet.certificate}",
            f"--kubelet-client-key={kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-format=json",
            "--shutdown-delay-duration=0s",
            *self._extra_args,
        ]

    def _start_controllers(self) -> None:
        if self._controllers and self.programs.controller_manager is not None:
            self._spawn(
                "kube-controller-manager",
                self.programs.controller_manager,
                [
                    *self._component_args("kube-controller-manager"),
                    f"--root-ca-file={self.ca_file}",
                    f"--service-account-private-key-file={self._signing.key}",
                    "--use-service-account-credentials=true",
                    f"--cluster-signing-cert-file={self._authority.pair.certificate}",
                    f"--cluster-signing-key-file={self._authority.pair.key}",
                    "--kube-api-qps=200",
                    "--kube-api-burst=400",
                ],
            )
        if self._scheduler and self.programs.scheduler is not None:
            arguments = self._component_args("kube-scheduler")
            self._spawn("kube-scheduler", self.programs.scheduler, arguments)

    def _component_args(self, name: str) -> list[str]:
        kubeconfig = self.directory / f"{name}.kubeconfig"
        return [
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            f"--cert-dir={self.directory / 'generated'}",
        ]

    def _install_agent_rbac(self) -> None:
        self.kubectl_client().run("apply", "--server-side", "-f", str(RBAC))
        if self._controllers:
            path = "/api/v1/namespaces/default/serviceaccounts/default"
            wait_until(
                lambda: self._exists(path),
                "kube-controller-manager",
                timeout=60,
                children=[self._children["kube-controller-manager"]],
            )
        write_kubeconfig(
            self.agent_kubeconfig,
            server=self.url,
            ca_file=self.ca_file,
            token=self.service_account_token(AGENT_NAMESPACE, AGENT_ACCOUNT, seconds=86400),
            namespace=AGENT_NAMESPACE,
        )

    def _start_nodes(self) -> None:
        if not self.node_names:
            return
        admin, kubelet = self._clients["admin"], self._kubelet_serving
        arguments = [
            "-m",
            "tests.support.fakenode",
            f"--server={self.url}",
            f"--ca={self.ca_file}",
            f"--certificate={admin.certificate}",
            f"--key={admin.key}",
            f"--kubelet-certificate={kubelet.certificate}",
            f"--kubelet-key={kubelet.key}",
            f"--directory={self.directory / 'pods'}",
            *(["--leave-scheduling"] if self._scheduler else []),
            *self.node_names,
        ]
        child = Child(
            "node",
            [sys.executable, *arguments],
            log=self.node_log,
            cwd=REPOSITORY,
        )
        self._children["node"] = child
        wait_until(self._nodes_ready, "stub nodes", timeout=30, children=[child])

    def _nodes_ready(self) -> bool:
        ready = {
            node["metadata"]["name"]
            for node in self.admin.get("/api/v1/nodes")["items"]
            for condition in node["status"].get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
        }
        return ready >= set(self.node_names)
