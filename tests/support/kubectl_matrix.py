"""One small test for each thing people do with kubectl: the rows of the flow × version × backend matrix."""

import hashlib
import json
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.kubectl import Kubectl, Terminal
from tests.support.kubectl_flows import (
    converse,
    create_pod,
    deployment_manifest,
    echo_server,
    payload,
    port_forward,
)

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"colour": "green"},
}


def manifest(**data: str) -> bytes:
    """The ConfigMap `settings` with this data."""
    return json.dumps({**CONFIG, "data": data or CONFIG["data"]}).encode()


class KubectlMatrix:
    """Inherit in a test class and provide `kubectl`; each test is a row, each class a column.

    Attributes:
        column: Heading of the column, `kubectl VERSION, BACKEND`.
        user: Who `auth whoami` must show.
        proxy_arguments, proxy_prefix: What `kubectl proxy` needs for a server with a path.
        not_applicable: Row → why this column cannot have it; shown in the matrix, not run.
    """

    column: ClassVar[str]
    user: ClassVar[str]
    # `kubectl proxy` leaves out the path of the server unless it is told to append it (1.23 and newer can).
    proxy_arguments: ClassVar[tuple[str, ...]] = ("--append-server-path",)
    proxy_prefix: ClassVar[str] = ""
    not_applicable: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def kubectl(self) -> Kubectl:
        raise NotImplementedError("provide the fixture `kubectl`")

    @pytest.fixture(autouse=True)
    def applicable(self, request: pytest.FixtureRequest) -> None:
        request.node.user_properties.append(("column", self.column))
        row = row_of(request.node.originalname)
        if row in self.not_applicable:
            pytest.skip(f"not applicable: {self.not_applicable[row]}")

    @pytest.fixture
    def creator(self, kubectl: Kubectl) -> Kubectl:
        """Makes the pods that other flows use; the same kubectl wherever it can."""
        return kubectl

    @pytest.fixture
    def pod(self, creator: Kubectl) -> str:
        return create_pod(creator, "p1", log_interval="0.2")

    def test_get_table(self, kubectl: Kubectl) -> None:
        assert b" Ready " in kubectl.run("get", "nodes").stdout

    def test_get_yaml(self, kubectl: Kubectl) -> None:
        assert b"kind: Node" in kubectl.run("get", "nodes", "-o", "yaml").stdout

    def test_get_watch(self, kubectl: Kubectl) -> None:
        with kubectl.start("get", "configmaps", "-w", "-o", "name") as watch:
            for name in ("first", "second"):
                kubectl.run("create", "configmap", name)
                watch.stdout.expect(f"configmap/{name}".encode())

    def test_describe(self, kubectl: Kubectl, pod: str) -> None:
        assert b"Node:" in kubectl.run("describe", "pod", pod).stdout

    def test_apply(self, kubectl: Kubectl) -> None:
        assert b"created" in kubectl.run("apply", "-f", "-", stdin=manifest()).stdout
        assert (
            b"configured" in kubectl.run("apply", "-f", "-", stdin=manifest(colour="blue")).stdout
        )
        assert b"unchanged" in kubectl.run("apply", "-f", "-", stdin=manifest(colour="blue")).stdout

    def test_apply_server_side(self, kubectl: Kubectl) -> None:
        kubectl.run("apply", "--server-side", "-f", "-", stdin=manifest())
        conflict = kubectl.run(
            "apply", "--server-side", "--field-manager=other", "-f", "-",
            stdin=manifest(colour="blue"), check=False,
        )  # fmt: skip
        assert conflict.returncode != 0
        assert b"conflict" in conflict.stderr
        kubectl.run(
            "apply", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "-",
            stdin=manifest(colour="blue"),
        )  # fmt: skip

    def test_edit(self, kubectl: Kubectl, tmp_path: Path) -> None:
        kubectl.run("apply", "-f", "-", stdin=manifest())
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nsed -i s/green/blue/ "$1"\n')
        editor.chmod(0o755)
        with_editor = {**kubectl.environment(), "KUBE_EDITOR": str(editor)}
        done = kubectl.run_in(with_editor, "edit", "configmap", "settings")
        assert b"edited" in done.stdout
        shown = kubectl.run("get", "configmap", "settings", "-o", "jsonpath={.data.colour}").stdout
        assert shown == b"blue"

    def test_delete(self, kubectl: Kubectl) -> None:
        kubectl.run("apply", "-f", "-", stdin=manifest())
        assert b"deleted" in kubectl.run("delete", "configmap", "settings").stdout
        assert kubectl.run("get", "configmap", "settings", check=False).returncode == 1

    def test_diff(self, kubectl: Kubectl) -> None:
        kubectl.run("apply", "-f", "-", stdin=manifest())
        same = kubectl.run("diff", "-f", "-", stdin=manifest(), check=False)
        assert same.returncode == 0, same.stderr
        other = kubectl.run("diff", "-f", "-", stdin=manifest(colour="blue"), check=False)
        assert other.returncode == 1
        assert b"+  colour: blue" in other.stdout

    def test_logs(self, kubectl: Kubectl, pod: str) -> None:
        assert len(kubectl.run("logs", pod, "--tail=2").stdout.splitlines()) == 2

    def test_logs_follow(self, kubectl: Kubectl, pod: str) -> None:
        with kubectl.start("logs", "-f", pod, "--tail=1") as follow:
            for _ in range(3):
                follow.stdout.expect(b"\n", timeout=10)
            assert follow.running

    def test_exec(self, kubectl: Kubectl, pod: str) -> None:
        done = kubectl.run(
            "exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False
        )
        assert (done.returncode, done.stdout) == (7, b"out\n")
        assert done.stderr.startswith(b"err\n")

    def test_exec_terminal(self, kubectl: Kubectl, pod: str) -> None:
        with kubectl.terminal("exec", "-it", pod, "--", "sh", rows=41, columns=123) as shell:
            shell.output.expect(b"$ ")
            _until_size(shell, b"41 123")
            shell.resize(rows=50, columns=200)
            _until_size(shell, b"50 200")
            shell.write(b"exit 3\n")
            assert shell.wait() == 3

    def test_attach(self, kubectl: Kubectl, pod: str) -> None:
        with kubectl.start("attach", pod) as attached:
            attached.stdout.expect(b"\n", timeout=15)

    def test_cp(self, kubectl: Kubectl, pod: str, tmp_path: Path) -> None:
        data = payload(1_500_000)
        (tmp_path / "up").write_bytes(data)
        kubectl.run("cp", str(tmp_path / "up"), f"{pod}:there")
        kubectl.run("cp", f"{pod}:there", str(tmp_path / "down"))
        assert (
            hashlib.sha256((tmp_path / "down").read_bytes()).digest()
            == hashlib.sha256(data).digest()
        )

    def test_port_forward(self, kubectl: Kubectl, creator: Kubectl) -> None:
        with echo_server() as echo:
            create_pod(creator, "p2", ports=f"80={echo}")
            with port_forward(kubectl, "pod/p2", ":80") as (_, port):
                data = payload(300_000)
                assert converse(port, data) == data + b"<end>"

    def test_proxy(self, kubectl: Kubectl) -> None:
        with kubectl.start("proxy", "--port=0", *self.proxy_arguments) as proxy:
            line = proxy.stdout.expect(b"127.0.0.1:") + proxy.stdout.expect(b"\n")
            address = line.split(b"127.0.0.1:")[1].strip().decode()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(
                f"http://127.0.0.1:{address}{self.proxy_prefix}/api/v1/nodes", timeout=10
            ) as answer:
                assert json.load(answer)["kind"] == "NodeList"

    def test_top(self, kubectl: Kubectl) -> None:
        done = kubectl.run("top", "nodes", check=False)
        assert done.returncode == 1
        assert b"Metrics" in done.stderr

    def test_auth_whoami(self, kubectl: Kubectl) -> None:
        shown = json.loads(kubectl.run("auth", "whoami", "-o", "json").stdout)
        assert shown["status"]["userInfo"]["username"] == self.user

    def test_auth_can_i(self, kubectl: Kubectl) -> None:
        assert kubectl.run("auth", "can-i", "create", "deployments.apps").stdout.strip() == b"yes"
        assert b"Resources" in kubectl.run("auth", "can-i", "--list").stdout

    def test_wait(self, kubectl: Kubectl, pod: str) -> None:
        kubectl.run("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=10s")
        done = kubectl.run(
            "wait", "--for=condition=Never", f"pod/{pod}", "--timeout=1s", check=False
        )
        assert done.returncode == 1
        assert b"timed out" in done.stderr

    def test_rollout_status(self, kubectl: Kubectl) -> None:
        kubectl.run("apply", "-f", "-", stdin=json.dumps(deployment_manifest("web", 2)).encode())
        rolled = kubectl.run("rollout", "status", "deployment/web", "--timeout=60s")
        assert b"successfully rolled out" in rolled.stdout

    def test_api_resources(self, kubectl: Kubectl) -> None:
        assert b"deployments" in kubectl.run("api-resources").stdout

    def test_explain(self, kubectl: Kubectl) -> None:
        assert b"replicas" in kubectl.run("explain", "deployment.spec").stdout


def _until_size(shell: Terminal, size: bytes) -> None:
    """Ask until the terminal has this size: it travels beside the input."""
    for _ in range(50):
        shell.write(b"stty size\n")
        if size in shell.output.expect(b"$ ", timeout=10):
            return
    raise AssertionError(f"the terminal never became {size!r}")


def row_of(test: str) -> str:
    """`test_exec_terminal` is the row `exec terminal`."""
    return test.removeprefix("test_").replace("_", " ")


def rows() -> list[str]:
    """All rows, in order."""
    return [row_of(name) for name in vars(KubectlMatrix) if name.startswith("test_")]


def table(results: dict[tuple[str, str], str]) -> list[str]:
    """The matrix as lines: one row a flow, one column a kubectl and backend."""
    columns = sorted({column for column, _ in results})
    width = max(len(column) for column in columns)
    first = max(len(row) for row in rows())
    lines = ["  ".join([" " * first, *(column.ljust(width) for column in columns)])]
    for row in rows():
        cells = [results.get((column, row), "EMPTY").ljust(width) for column in columns]
        lines.append("  ".join([row.ljust(first), *cells]).rstrip())
    return lines
