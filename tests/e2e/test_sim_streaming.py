"""Stock kubectl straight against the simulated cluster: logs, exec, attach, cp and port-forward."""

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import pytest
from typing_extensions import override

from pipeops.sim.clock import SystemClock
from pipeops.sim.cluster import ADMIN, SimulatedCluster
from pipeops.sim.pods.instances import PODS
from pipeops.sim.seed import seed
from pipeops.sim.server import serve
from pipeops.sim.state import Credentials, kubeconfig
from tests.support.kubectl import Kubectl
from tests.support.kubectl120 import kubectl120
from tests.support.kubectl_flows import KubectlFlows, converse, pod_manifest, port_forward
from tests.support.programs import find_programs

pytestmark = [pytest.mark.slow]


class Simulator:
    """A simulated cluster in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        clock = SystemClock()
        credentials = Credentials.create(clock.now())
        self.kubeconfig = directory / "kubeconfig"
        self.cluster = SimulatedCluster(clock=clock, tokens={credentials.admin_token: ADMIN})
        seed(self.cluster)
        self._credentials = credentials
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    async def _serve(self) -> None:
        authority = self._credentials.authority
        tls = authority.serving_context(["127.0.0.1"], self.cluster.clock.now())
        async with serve(self.cluster, tls=tls) as (host, port):
            server = f"https://{host}:{port}"
            token = self._credentials.admin_token
            self.kubeconfig.write_bytes(kubeconfig(server, authority.certificate, "admin", token))
            self._started.set_result(asyncio.get_running_loop())
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._started.result(30)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def call(self, step: Callable[[], Any]) -> Any:
        """Run a step in the cluster's own thread."""

        async def run() -> Any:
            return step()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def seed_pod(self, pod: dict[str, Any], namespace: str) -> None:
        """A running pod, without the controllers that would start it."""
        pod["metadata"]["namespace"] = namespace
        pod["spec"]["nodeName"] = "sim-1"
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}

        def install() -> None:
            stored = self.cluster.install(pod)
            state["running"]["startedAt"] = stored["metadata"]["creationTimestamp"]
            stored["status"] = {
                "phase": "Running",
                "containerStatuses": [
                    {"name": each["name"], "ready": True, "restartCount": 0, "state": state}
                    for each in stored["spec"]["containers"]
                ],
            }

        self.call(install)


@dataclass(frozen=True)
class SeedingKubectl(Kubectl):
    """Puts pods straight into the cluster's storage, and takes them out."""

    simulator: Simulator | None = None

    @override
    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.CompletedProcess(arguments, 0, b"", b"")
        simulator, namespace = self.simulator, self.namespace
        assert simulator is not None
        assert namespace is not None
        match arguments:
            case ["apply", *_]:
                simulator.seed_pod(json.loads(options["stdin"]), namespace)
            case ["delete", "pod", name, *_]:
                simulator.call(lambda: simulator.cluster.store.remove(PODS, namespace, name))
            case ["wait", *_]:
                pass
            case _:
                return super().run(*arguments, **options)
        return done


def busy() -> list[str]:
    """What runs for clients: neither the simulator itself nor its controllers."""
    names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
    return [name for name in names if not name.startswith(("Simulator", "TaskScope"))]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(tmp_path_factory.mktemp("simulator")) as running:
        yield running


class StreamingFlows(KubectlFlows):
    """Those of the flows that look into pods."""

    test_lists_nodes_and_pods = None  # type: ignore[assignment]  # no stream
    test_discovery_and_descriptions = None  # type: ignore[assignment]  # no stream
    test_a_deployment_rolls_out_scales_and_goes = None  # type: ignore[assignment]  # no stream
    test_apply_patch_and_diff = None  # type: ignore[assignment]  # no stream
    test_a_watch_shows_changes_as_they_happen = None  # type: ignore[assignment]  # no stream
    test_run_returns_the_exit_code_and_removes_its_pod = None  # type: ignore[assignment]  # creates

    binary: Path

    @pytest.fixture
    @override
    def kubectl(self, simulator: Simulator, binary: Path, tmp_path: Path) -> Iterator[Kubectl]:
        found = SeedingKubectl(binary, simulator.kubeconfig, tmp_path, "default", simulator)
        yield found
        for name in ("p1", "p2"):
            found.run("delete", "pod", name)

    @override
    def test_port_forward_reports_a_refused_port(self, kubectl: Kubectl, pod: str) -> None:
        with port_forward(kubectl, f"pod/{pod}", ":81") as (process, port):
            assert converse(port, b"") == b""
            process.stderr.expect(b"dial tcp4 127.0.0.1:81: connect: connection refused")

    def test_port_forward_shows_the_pods_page(self, kubectl: Kubectl) -> None:
        manifest = pod_manifest("p2")
        manifest["spec"]["containers"][0]["ports"] = [{"containerPort": 80}]
        kubectl.run("apply", "-f", "-", stdin=json.dumps(manifest).encode())
        with port_forward(kubectl, "pod/p2", ":80") as (_, port):
            for _ in range(3):
                with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    assert b"Hello from pod p2 in namespace default" in answer.read()

    def test_a_pods_files_stay_and_are_bounded(self, kubectl: Kubectl, pod: str) -> None:
        script = "cat >/tmp/big; wc -c </tmp/big"
        full = kubectl.run("exec", "-i", pod, "--", "sh", "-c", script, stdin=b"x" * 70_000_000)
        assert b"No space left on device" in full.stderr
        assert 60_000_000 < int(full.stdout) < 1 << 26
        script = "rm /tmp/big; echo kept >/tmp/small"
        kubectl.run("exec", pod, "--", "sh", "-c", script)
        assert kubectl.run("exec", pod, "--", "cat", "/tmp/small").stdout == b"kept\n"

    def test_clients_that_are_killed_leave_nothing(
        self, kubectl: Kubectl, pod: str, simulator: Simulator
    ) -> None:
        def tasks() -> int:
            return len(simulator.call(busy))

        def settled(holds: Callable[[int], bool]) -> None:
            deadline = time.monotonic() + 15
            while not holds(tasks()):
                assert time.monotonic() < deadline, simulator.call(busy)
                time.sleep(0.1)

        # An agent of other tests may follow the same cluster with watches of its own.
        before = tasks()
        with (
            kubectl.start("exec", "-i", pod, "--", "sh", "-c", "yes >/dev/null"),
            kubectl.start("exec", "-i", pod, "--", "sleep", "1000") as sleeping,
            kubectl.start("exec", pod, "--", "yes"),
            kubectl.start("logs", "-f", pod),
            kubectl.start("port-forward", f"pod/{pod}", ":80"),
        ):
            sleeping.write(b"x" * 60_000)
            settled(lambda count: count > before + 10)
        settled(lambda count: count <= before)


class TestCurrentKubectl(StreamingFlows):
    """WebSocket for exec, attach and port-forward."""

    @pytest.fixture
    def binary(self) -> Path:
        programs, reason = find_programs()
        if programs is None:
            pytest.skip(f"no current kubectl: {reason}")
        return programs.kubectl


class TestKubectl120(StreamingFlows):
    """SPDY for exec, attach and port-forward."""

    @pytest.fixture
    def binary(self) -> Path:
        built = kubectl120()
        if built.path is None:
            pytest.skip(f"no kubectl 1.20: {built.reason}")
        return built.path
