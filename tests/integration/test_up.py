"""`pipeops up` as a person runs it: from nothing to kubectl, again, and when something dies."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pipeops
from tests.support.certificates import write_kubeconfig
from tests.support.processes import free_port, log_tail, wait_until

CHILDREN = {"control plane", "simulated cluster", "agent"}


class UpProcess:
    """One `pipeops up -o json` with a home of its own."""

    def __init__(self, home, *options, environ=None):
        self.home = home
        self.out = home.parent / "up.out"
        self.err = home.parent / "up.err"
        base = {
            name: value for name, value in os.environ.items() if not name.startswith("PIPEOPS_")
        }
        base.pop("KUBECONFIG", None)
        self.environ = base | {"HOME": str(home.parent), "PIPEOPS_HOME": str(home)}
        self.environ |= environ or {}
        self.environ["PYTHONPATH"] = str(Path(pipeops.__file__).parents[1])
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeops.cli", "up", "-o", "json", *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environ, start_new_session=True,
            )  # fmt: skip

    def summary(self):
        def printed():
            if self.process.poll() is not None:
                raise AssertionError(
                    f"ended with {self.process.returncode}: {log_tail(self.err, 40)}"
                )
            return self.out.read_text().rstrip().endswith("}")

        wait_until(printed, "pipeops up", timeout=90)
        return json.loads(self.out.read_text())

    def pipeops(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "pipeops.cli", *arguments],
            capture_output=True, text=True, env=self.environ, timeout=60, check=False,
        )  # fmt: skip

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def up(tmp_path):
    started = []

    def up(*options, environ=None):
        process = UpProcess(tmp_path / "home", *options, environ=environ)
        started.append(process)
        return process

    yield up
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()


@pytest.mark.slow
def test_from_nothing_to_nodes_and_again(up):
    port = free_port()
    first = up("--cluster", "sim", "--port", str(port))
    summary = first.summary()
    assert set(summary["pids"]) == CHILDREN
    assert summary["server"] == f"https://127.0.0.1:{port}"
    assert summary["first_request"]["succeeded"], summary["first_request"]["output"]
    assert "NAME" in summary["first_request"]["output"]
    listed = json.loads(first.pipeops("clusters", "list", "-o", "json").stdout)
    assert [(item["name"], item["connection"]["connected"]) for item in listed] == [("sim", True)]
    second = first.pipeops("up")
    assert second.returncode == 5
    assert str(first.process.pid) in second.stderr
    assert first.stop() == 0
    assert not [pid for pid in summary["pids"].values() if alive(pid)]
    for path in (
        first.home / "kubeconfig",
        first.home / "user-token",
        first.home / "tls" / "server.key",
    ):
        assert path.stat().st_mode & 0o077 == 0

    # The second time without kubectl: the same request is made by ourselves.
    again = up("--cluster", "sim", environ={"PATH": "/nonexistent"})
    repeated = again.summary()
    assert repeated["first_request"]["command"] == "GET /k8s/sim/api/v1/nodes"
    assert repeated["first_request"]["succeeded"], repeated["first_request"]["output"]
    assert "STATUS" in repeated["first_request"]["output"]
    assert {key: repeated[key] for key in ("server", "context", "user")} == {
        key: summary[key] for key in ("server", "context", "user")
    }
    token = (again.home / "user-token").read_text()
    assert token.strip() in (again.home / "kubeconfig").read_text()
    assert len(json.loads(again.pipeops("tokens", "list", "-o", "json").stdout)) == 2
    assert again.stop(signal.SIGINT) == 0


@pytest.mark.slow
def test_a_child_that_dies_ends_everything_with_its_log(up):
    process = up("--cluster", "sim", "--port", str(free_port()))
    pids = process.summary()["pids"]
    os.kill(pids["simulated cluster"], signal.SIGKILL)
    assert process.process.wait(timeout=40) == 1
    said = process.err.read_text()
    assert "simulated cluster ended by signal SIGKILL" in said
    assert "sim.log" in said
    assert "Traceback" not in said
    assert not [pid for pid in pids.values() if alive(pid)]


@pytest.mark.slow
def test_children_do_not_outlive_a_killed_parent(up):
    process = up("--cluster", "sim", "--port", str(free_port()))
    pids = process.summary()["pids"]
    process.process.kill()
    wait_until(lambda: not any(map(alive, pids.values())), "end of the children", timeout=20)


def test_a_busy_port_names_its_holder(up):
    import socket  # noqa: PLC0415

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        process = up("--port", str(holder.getsockname()[1]))
        assert process.process.wait(timeout=60) == 5
    said = process.err.read_text()
    assert f"process {os.getpid()}" in said
    assert "Traceback" not in said


def test_a_context_that_does_not_exist_is_not_replaced_by_another(up, tmp_path):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("contexts: []\n")
    process = up("--cluster", "production", "--port", str(free_port()))
    assert process.process.wait(timeout=60) == 1
    assert "production" in process.err.read_text()


@pytest.mark.slow
@pytest.mark.cluster
def test_the_current_contexts_cluster_as_its_own_user(up, apiserver):
    environ = {"KUBECONFIG": str(apiserver.admin_kubeconfig)}
    first = up("--port", str(free_port()), environ=environ)
    summary = first.summary()
    assert not summary["cluster"]["simulated"]
    assert "system:masters" in summary["groups"]
    assert set(summary["pids"]) == CHILDREN - {"simulated cluster"}
    assert summary["first_request"]["succeeded"], summary["first_request"]["output"]
    assert first.stop() == 0
    # Afterwards the person's KUBECONFIG leads through the tunnel; the cluster behind it is still known.
    again = up(environ={"KUBECONFIG": summary["kubeconfig"]})
    assert again.summary()["cluster"]["context"] == summary["cluster"]["context"]
    assert again.stop() == 0


@pytest.mark.cluster
def test_a_user_who_may_not_impersonate_is_told_the_missing_rules(up, apiserver, tmp_path):
    kubeconfig = tmp_path / "ada.kubeconfig"
    write_kubeconfig(
        kubeconfig,
        server=apiserver.url,
        ca_file=apiserver.ca_file,
        client=apiserver.user("ada", "dev"),
    )
    process = up("--port", str(free_port()), environ={"KUBECONFIG": str(kubeconfig)})
    assert process.process.wait(timeout=60) == 3
    said = process.err.read_text()
    assert 'resourceNames: ["ada"], verbs: ["impersonate"]' in said
    assert 'resourceNames: ["dev"], verbs: ["impersonate"]' in said
