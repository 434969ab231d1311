"""The place of the chaos tests: control plane, a failing network, agent, real API server, one pod."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.flows import Place
from tests.support.apiserver import ApiServer
from tests.support.faults import Relay, held
from tests.support.kubectl import Kubectl
from tests.support.kubectl_flows import pod_manifest
from tests.support.processes import Child, wait_until
from tests.support.stack import Stack

CLUSTER = "real"
BIG = 500_000_000  # bytes: at RATE, 20 s and more
RATE = 25_000_000  # bytes per second, through the network between agent and control plane
SETTLE = 10.0  # seconds after a fault until everything is back at its baseline


class Bench:
    """Everything running; faults are done to its parts.

    Attributes:
        network: What lies between agent and control plane.
        place: What kubectl works on, as an administrator of the cluster.
        baseline: What control plane and agent held before the first fault.
    """

    def __init__(self, apiserver: ApiServer, directory: Path) -> None:
        self.apiserver = apiserver
        self.stack = Stack(directory)
        self.network = Relay(self.stack.port, rate=RATE)
        self.directory = directory

    def __enter__(self) -> Self:
        self.stack.start_control()
        self.network.__enter__()
        self.stack.start_agent(
            CLUSTER,
            self.stack.add_cluster(CLUSTER),
            self.apiserver.agent_kubeconfig,
            url=f"https://127.0.0.1:{self.network.port}",
        )
        user = self.stack.add_user("ann@example.org", "pipeops:admins")
        namespace = self.apiserver.new_namespace("chaos")
        self.kubectl = Kubectl(
            self.apiserver.kubectl, self.stack.kubeconfig(CLUSTER, user.token), self.directory
        ).within(namespace)
        self.place = self._place(namespace)
        self.baseline = self.settled_baseline()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.network.__exit__(kind, error, trace)
        self.stack.stop()

    @property
    def control(self) -> Child:
        assert self.stack.control is not None
        return self.stack.control

    @property
    def agent(self) -> Child:
        return self.stack.agents[CLUSTER]

    def heal(self) -> None:
        """Whatever does not run is started, whatever is blocked is opened."""
        self.network.unblock()
        self.network.rate = RATE
        if not self.apiserver.admin.ready():
            self.apiserver.kill_apiserver()
            self.apiserver.start_apiserver()
        if not self.control.running:
            self.stack.start_control()
        if not self.agent.running:
            self.stack.restart_agent(CLUSTER)
        self.stack.wait_connected(CLUSTER, self.agent)

    def settled_baseline(self) -> dict[str, dict[str, int]]:
        """What both hold with both lanes up, as after use, and nobody connected."""
        self.stack.request("GET", f"/k8s/{CLUSTER}/version", token=self.stack.admin_token)
        wait_until(
            lambda: held(self.agent)["lanes"] == 2 and held(self.control)["clients"] == 0,
            "a quiet product",
            timeout=30,
            interval=0.3,
        )
        return self.now()

    def now(self) -> dict[str, dict[str, int]]:
        """What both hold, without the connections that the agent keeps for later."""
        figures = {"control": held(self.control), "agent": held(self.agent)}
        agent = figures["agent"]
        agent["descriptors"] -= agent["upstream_idle"]
        agent["upstream"] -= agent.pop("upstream_idle")
        for each in figures.values():
            each.pop("resident_kib")
        return figures

    def excess(self) -> list[str]:
        """What is held beyond the baseline, or missing of it."""
        found = []
        for process, figures in self.now().items():
            for name, value in figures.items():
                before = self.baseline[process][name]
                if value > before or (name in {"lanes", "agents"} and value != before):
                    found.append(f"{process}: {name} {value}, was {before}")
        return found

    def back_at_baseline(self) -> float:
        """Seconds until both hold what they held before the fault.

        Raises:
            AssertionError: not within SETTLE.
        """
        began = time.monotonic()
        while excess := self.excess():
            if time.monotonic() - began > SETTLE:
                raise AssertionError("not back at the baseline: " + "; ".join(excess))
            time.sleep(0.2)
        return time.monotonic() - began

    def _place(self, namespace: str) -> Place:
        manifest = pod_manifest("p1", node="node-2", log_interval="0.2")
        self.kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest).encode())
        self.kubectl.run("wait", "--for=condition=Ready", "pod/p1", "--timeout=30s")
        self.kubectl.run("create", "configmap", "first")
        uid = self.apiserver.admin.get(f"/api/v1/namespaces/{namespace}/pods/p1")["metadata"]["uid"]
        root = self.apiserver.directory / "pods" / uid
        big = self.directory / "big"
        for path in (big, root / "big"):
            with path.open("wb") as file:
                file.truncate(BIG)  # sparse: it costs no disk, and travels as zeros
        return Place(self.kubectl, "p1", root, big, self.directory)
