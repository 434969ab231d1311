"""What people do with kubectl, as test cases for any way to reach a test cluster.

A test module subclasses `KubectlFlows` and provides the fixture `kubectl` (a `Kubectl` with a namespace of the
test's own). Run straight against an API server they are the baseline; behind a tunnel they must behave the same.
"""

import hashlib
import json
import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typing_extensions import override

from tests.support.containers import ANNOTATION
from tests.support.kubectl import Background, Kubectl


def payload(size: int, seed: int = 1) -> bytes:
    """Bytes that no framing mistake leaves intact; the same for the same seed."""
    return random.Random(seed).randbytes(size)


def pod_manifest(name: str, *, node: str | None = None, **annotations: str) -> dict[str, Any]:
    """A pod for a stub node; annotations as `tests.support.fakenode` knows them, `_` for `-`."""
    placed = {} if node is None else {"nodeName": node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": name},
            "annotations": {
                ANNOTATION + key.replace("_", "-"): value for key, value in annotations.items()
            },
        },
        "spec": {
            **placed,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "example/main"}],
        },
    }


def deployment_manifest(name: str, replicas: int) -> dict[str, Any]:
    pod = pod_manifest(name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]},
        },
    }


def create_pod(kubectl: Kubectl, name: str, *, node: str | None = None, **annotations: str) -> str:
    """Apply a pod and wait until it is ready; returns its name."""
    manifest = json.dumps(pod_manifest(name, node=node, **annotations)).encode()
    kubectl.run("apply", "-f", "-", stdin=manifest)
    kubectl.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=30s")
    return name


class _Echo(socketserver.BaseRequestHandler):
    """Returns what comes; after the client's half close, says so and closes."""

    @override
    def handle(self) -> None:
        connection: socket.socket = self.request
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.sendall(b"<end>")


class _EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def echo_server() -> Iterator[int]:
    """A loopback TCP server that echoes; yields its port."""
    with _EchoServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def port_forward(kubectl: Kubectl, target: str, *ports: str) -> Iterator[tuple[Background, int]]:
    """`kubectl port-forward`; yields the process and the local port of the first pair."""
    with kubectl.start("port-forward", target, *ports) as process:
        process.stdout.expect(b"Forwarding from 127.0.0.1:")
        port = process.stdout.expect(b" ->")
        yield process, int(port.removesuffix(b" ->"))


def converse(port: int, data: bytes) -> bytes:
    """Send all, half-close, and return everything that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        sender = threading.Thread(target=_send_all, args=(connection, data))
        sender.start()
        received = bytearray()
        while chunk := connection.recv(65536):
            received += chunk
        sender.join()
        return bytes(received)


def _send_all(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


class KubectlFlows:
    """Inherit in a test class; see the module's docstring.

    Attributes:
        raw_prefix: Path of the server, for clients that forget it.
        node: Where the pods run; None leaves it to the scheduler. `node-1` gets SPDY from the API server
            whatever the client speaks, `node-2` gets what the client speaks.
    """

    node: ClassVar[str | None] = None
    raw_prefix: ClassVar[str] = ""  # kubectl 1.20 does not put the server's path before `get --raw`

    @pytest.fixture
    def kubectl(self) -> Kubectl:
        raise NotImplementedError("provide the fixture `kubectl`")

    @pytest.fixture
    def pod(self, kubectl: Kubectl) -> str:
        return create_pod(kubectl, "p1", node=self.node, log_interval="0.2")

    def test_lists_nodes_and_pods(self, kubectl: Kubectl, pod: str) -> None:
        assert b" Ready " in kubectl.run("get", "nodes").stdout
        assert b"1/1 " in kubectl.run("get", "pods").stdout
        listed = json.loads(kubectl.run("get", "pods", "-o", "json").stdout)
        assert [each["metadata"]["name"] for each in listed["items"]] == [pod]

    def test_discovery_and_descriptions(self, kubectl: Kubectl, pod: str) -> None:
        assert b"deployments" in kubectl.run("api-resources").stdout
        assert b"replicas" in kubectl.run("explain", "deployment.spec").stdout
        assert b"Node:" in kubectl.run("describe", "pod", pod).stdout
        assert b"gitVersion" in kubectl.run("get", "--raw", f"{self.raw_prefix}/version").stdout

    def test_a_deployment_rolls_out_scales_and_goes(self, kubectl: Kubectl) -> None:
        manifest = json.dumps(deployment_manifest("web", 2)).encode()
        kubectl.run("apply", "-f", "-", stdin=manifest)
        rolled = kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
        assert b"successfully rolled out" in rolled.stdout
        kubectl.run("scale", "deployment/web", "--replicas=3")
        kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
        kubectl.run("set", "image", "deployment/web", "main=example/main:2")
        kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
        kubectl.run("delete", "deployment", "web", "--wait=true", "--timeout=60s")
        gone = kubectl.run("get", "deployment", "web", check=False)
        assert gone.returncode == 1
        assert b"NotFound" in gone.stderr

    def test_apply_patch_and_diff(self, kubectl: Kubectl) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"colour": "green"},
        }
        kubectl.run("apply", "--server-side", "-f", "-", stdin=json.dumps(config).encode())
        config["data"] = {"colour": "blue"}
        # diff runs the program of that name; 1 says that there are differences.
        difference = kubectl.run(
            "diff", "--server-side", "-f", "-", stdin=json.dumps(config).encode(), check=False
        )
        assert difference.returncode == 1
        assert b"+  colour: blue" in difference.stdout
        kubectl.run("patch", "configmap", "settings", "-p", '{"data":{"shape":"round"}}')
        kubectl.run("label", "configmap", "settings", "tier=test")
        shown = json.loads(kubectl.run("get", "configmap", "settings", "-o", "json").stdout)
        assert shown["data"] == {"colour": "green", "shape": "round"}
        assert shown["metadata"]["labels"]["tier"] == "test"

    def test_a_watch_shows_changes_as_they_happen(self, kubectl: Kubectl) -> None:
        with kubectl.start("get", "configmaps", "--watch", "-o", "name") as watch:
            for name in ("first", "second"):
                kubectl.run("create", "configmap", name)
                watch.stdout.expect(f"configmap/{name}".encode())
            watch.interrupt()
            watch.wait()

    def test_forbidden_and_not_found_name_the_cause(self, kubectl: Kubectl) -> None:
        missing = kubectl.run("get", "pod", "nobody", check=False)
        assert missing.returncode == 1
        assert b'pods "nobody" not found' in missing.stderr

    def test_logs_end_and_follow(self, kubectl: Kubectl, pod: str) -> None:
        whole = kubectl.run("logs", pod).stdout
        assert b"/p1/main line 0\n" in whole
        assert len(kubectl.run("logs", pod, "--tail=2").stdout.splitlines()) == 2
        with kubectl.start("logs", "-f", pod, "--tail=1") as follow:
            follow.stdout.expect(b"/p1/main line ")
            for _ in range(3):
                follow.stdout.expect(b"/p1/main line ", timeout=5)
            assert follow.running
            kubectl.run("delete", "pod", pod, "--wait=false")
            assert follow.wait() == 0

    def test_exec_separates_streams_and_returns_the_exit_code(
        self, kubectl: Kubectl, pod: str
    ) -> None:
        done = kubectl.run(
            "exec", pod, "--", "sh", "-c", "echo out; echo problem >&2; exit 7", check=False
        )
        assert done.returncode == 7
        assert done.stdout == b"out\n"
        assert done.stderr == b"problem\ncommand terminated with exit code 7\n"

    def test_exec_says_why_a_program_cannot_start(self, kubectl: Kubectl, pod: str) -> None:
        done = kubectl.run("exec", pod, "--", "no-such-program", check=False)
        assert done.returncode == 1
        assert b"Internal error occurred" in done.stderr

    def test_exec_carries_binary_input_to_its_end(self, kubectl: Kubectl, pod: str) -> None:
        data = payload(3_000_000)
        done = kubectl.run("exec", "-i", pod, "--", "sha256sum", stdin=data)
        assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()

    def test_exec_echoes_binary_data_both_ways(self, kubectl: Kubectl, pod: str) -> None:
        data = payload(2_000_000)
        assert kubectl.run("exec", "-i", pod, "--", "cat", stdin=data).stdout == data

    def test_exec_on_a_terminal_follows_its_size(self, kubectl: Kubectl, pod: str) -> None:
        with kubectl.terminal("exec", "-it", pod, "--", "sh", rows=41, columns=123) as shell:
            shell.output.expect(b"$ ")
            # The size travels beside the input, so a first command could be faster.
            shell.write(b"until stty size | grep -q '^41 123'; do sleep .1; done; echo first-$?\n")
            shell.output.expect(b"first-0")
            shell.write(b"trap 'echo resized' WINCH; echo armed-$?\n")
            shell.output.expect(b"armed-0")
            shell.resize(rows=50, columns=200)
            shell.write(b"until stty size | grep -q '^50 200'; do sleep .1; done; echo second-$?\n")
            shell.output.expect(b"second-0")
            shell.write(b"test -t 0 && test -t 1 && echo terminal-$?\n")
            shell.output.expect(b"terminal-0")
            # The sleeping process says so itself: an interrupt before it runs would reach the shell instead.
            shell.write(b"sh -c 'echo asleep-$((3 + 4)); exec sleep 60'\n")
            shell.output.expect(b"asleep-7")
            shell.write(b"\x03")  # Ctrl-C ends the sleep, not the session
            # A terminal drops what was typed ahead of an interrupt, so the prompt must come first.
            shell.output.expect(b"$ ")
            shell.write(b"echo alive-$?\n")
            shell.output.expect(b"alive-130")
            shell.write(b"exit 3\n")
            assert shell.wait() == 3

    def test_attach_talks_to_the_process_of_the_container(self, kubectl: Kubectl, pod: str) -> None:
        done = kubectl.run("attach", "-i", pod, stdin=b"echo attached\nexit 4\n", check=False)
        assert done.returncode == 4
        assert done.stdout == b"attached\n"

    def test_attach_without_input_shows_output(self, kubectl: Kubectl, pod: str) -> None:
        with kubectl.start("attach", pod) as attached:
            for _ in range(2):
                attached.stdout.expect(b"/p1/main line ", timeout=10)
            attached.interrupt()
            attached.wait()

    def test_run_returns_the_exit_code_and_removes_its_pod(self, kubectl: Kubectl) -> None:
        done = kubectl.run(
            "run", "once", "--rm", "-i", "--restart=Never", "--image=example/once",
            "--command", "--", "sh", "-c", "cat; exit 5",
            stdin=b"typed", check=False,
        )  # fmt: skip
        assert b"typed" in done.stdout
        assert done.returncode == 5
        assert kubectl.run("get", "pods", "-o", "name").stdout == b""

    def test_copies_files_both_ways(self, kubectl: Kubectl, pod: str, tmp_path: Path) -> None:
        source = tmp_path / "source"
        (source / "deep" / "er").mkdir(parents=True)
        files = {"a.bin": payload(1_500_000), "deep/er/b.txt": b"text\n", "deep/empty": b""}
        for name, data in files.items():
            (source / name).write_bytes(data)
        kubectl.run("cp", str(source), f"{pod}:copied")
        kubectl.run("cp", f"{pod}:copied", str(tmp_path / "back"))
        for name, data in files.items():
            assert (tmp_path / "back" / name).read_bytes() == data

    def test_port_forward_carries_connections_side_by_side(self, kubectl: Kubectl) -> None:
        with echo_server() as echo:
            create_pod(kubectl, "p2", node=self.node, ports=f"80={echo}")
            with port_forward(kubectl, "pod/p2", ":80") as (_, port):
                results: dict[int, bool] = {}

                def one(number: int) -> None:
                    data = payload(300_000, seed=number)
                    results[number] = converse(port, data) == data + b"<end>"

                threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert results == dict.fromkeys(range(8), True)

    def test_port_forward_reports_a_refused_port(self, kubectl: Kubectl, pod: str) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            refused = unused.getsockname()[1]
            with port_forward(kubectl, f"pod/{pod}", f":{refused}") as (process, port):
                assert converse(port, b"") == b""
                process.stderr.expect(b"failed to connect to ")
