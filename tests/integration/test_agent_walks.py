"""The agent as its operator meets it: the documented walks, the cluster's policy, how it stops."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakeapi import FakeApi, Received, answer
from tests.support.faults import log_records, wait_for_record
from tests.support.processes import Child
from tests.support.stack import REPOSITORY, Stack, environment

REGISTERED = "Agent registered successfully with control plane"
EXEC = "/api/v1/namespaces/a/pods/p/exec?command=sh"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("walks")) as stack:
        yield stack


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as api:
        yield api


def ended(child: Child, seconds: float) -> int:
    """The exit code of a process that ends by itself."""
    return child._process.wait(seconds)


def local(stack: Stack, directory: Path, token: Path, config: str) -> tuple[Child, Path]:
    """An agent started as the walks do: by environment and settings file, without a cluster."""
    path = directory / "config.yaml"
    path.write_text(config)
    child = Child(
        "agent",
        [sys.executable, "-m", "pipeops.agent", "--config", path, "--port", "0"],
        log=directory / "agent.log",
        env=environment(
            HOME=str(directory),
            PIPEOPS_TOKEN=token.read_text(),
            PIPEOPS_CLUSTER_NAME="test-cluster",
            PIPEOPS_API_URL=stack.url,
            PIPEOPS_CA_FILE=str(stack.ca_file),
            PIPEOPS_LOG_FORMAT="json",
        ),
        cwd=directory,
    )
    return child, path


def test_testing_registration(stack: Stack, tmp_path: Path) -> None:
    """The walk "Testing Registration": no cluster, no tunnel, a token, and the line that says it worked."""
    example = (REPOSITORY / "config.example.yaml").read_text()
    config = example.replace("tunnel:\n  enabled: true", "tunnel:\n  enabled: false")
    assert config != example
    agent, _ = local(stack, tmp_path, stack.add_cluster("walk-registration"), config)
    try:
        record = wait_for_record(agent, REGISTERED)
        assert record["level"] == "info"
        assert record["cluster_id"]
        assert record["name"]
        assert record["status"]
        beats = [
            each for each in log_records(agent.log) if "there is no cluster" in str(each["msg"])
        ]
        assert len(beats) == 1
        status, body = stack.request(
            "GET", "/k8s/walk-registration/version", token=stack.admin_token
        )
        assert status == 403, body
        assert "tunnel.enabled is false" in body["message"]
    finally:
        os.kill(agent.pid, signal.SIGTERM)
        assert ended(agent, 15) == 0


def test_local_development(tmp_path: Path) -> None:
    """The walk "Local Development": a mock token below tmp/, 0600; clean-state takes it away."""

    def script(name: str) -> str:
        done = subprocess.run(
            [sys.executable, REPOSITORY / "scripts" / name, *([tmp_path] if "clean" in name else [])],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    state = tmp_path / "tmp" / "agent-state.yaml"
    assert "tmp/agent-state.yaml" in script("generate_mock_token.py")
    assert state.stat().st_mode & 0o777 == 0o600
    first = state.read_text()
    assert first.startswith('agent_id: ""\ncluster_id: ""\ncluster_token: ey')
    state.write_text(first.replace('agent_id: ""', "agent_id: agent-kept"))
    script("generate_mock_token.py")
    second = state.read_text()
    assert "agent_id: agent-kept" in second
    assert second.splitlines()[-1] != first.splitlines()[-1], "each token is another one"
    legacy = tmp_path / ".pipeops-agent-id"
    legacy.touch()
    assert "removed tmp/agent-state.yaml" in script("clean_state.py")
    assert not state.exists()
    assert not legacy.exists()
    assert script("clean_state.py") == ""


def test_debug_mode(stack: Stack, tmp_path: Path) -> None:
    """The walk "Debug Mode": one variable, and the log says more."""
    agent, path = local(
        stack, tmp_path, stack.add_cluster("walk-debug"), "tunnel: {enabled: false}\n"
    )
    try:
        wait_for_record(agent, REGISTERED)
        assert not [each for each in log_records(agent.log) if each["level"] == "debug"]
    finally:
        agent.kill()
    offset = agent.log.stat().st_size
    verbose = Child(
        "agent",
        [sys.executable, "-m", "pipeops.agent", "--config", path, "--port", "0"],
        log=agent.log,
        env={
            **environment(HOME=str(tmp_path), PIPEOPS_CA_FILE=str(stack.ca_file)),
            "PIPEOPS_API_URL": stack.url,
            "PIPEOPS_TOKEN_FILE": str(stack.directory / "walk-debug.token"),
            "PIPEOPS_LOG_LEVEL": "debug",
            "PIPEOPS_LOG_FORMAT": "json",
        },
        cwd=tmp_path,
    )
    try:
        wait_for_record(verbose, REGISTERED, offset=offset)
        assert [each for each in log_records(agent.log, offset) if each["level"] == "debug"]
    finally:
        verbose.kill()


def wait_for(stack: Stack, path: str, status: int, seconds: float = 15.0) -> str:
    """Ask until the answer has this status."""
    deadline = time.monotonic() + seconds
    while True:
        found, body = stack.request("GET", path, token=stack.admin_token)
        if found == status or time.monotonic() > deadline:
            assert found == status, body
            return str(body)
        time.sleep(0.2)


def test_the_cluster_has_the_last_word(stack: Stack, api: FakeApi, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nexec: off\ndeny: [{name: no-secrets, resources: [secrets]}]\n")
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
    agent = stack.start_agent(
        "policy", stack.add_cluster("policy"), kubeconfig, "--policy-file", str(policy)
    )
    secrets = "/k8s/policy/api/v1/namespaces/a/secrets"
    body = wait_for(stack, secrets, 403)
    assert "rule 'no-secrets'" in body
    assert "rule 'exec'" in wait_for(stack, f"/k8s/policy{EXEC}", 403)
    wait_for(stack, "/k8s/policy/api/v1/namespaces/a/pods", 200)
    assert not api.seen("/api/v1/namespaces/a/secrets")
    assert not api.seen("/api/v1/namespaces/a/pods/p")

    policy.write_text("version: 1\nexec: onn\n")
    wait_for_record(agent, "the new policy is not used, the old one stays in force")
    wait_for(stack, secrets, 403)
    policy.write_text("version: 1\n")
    wait_for_record(agent, "policy changed")
    wait_for(stack, secrets, 200)


def test_a_bad_policy_keeps_the_agent_from_starting(
    stack: Stack, api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nreadOnli: true\n")
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
    agent = stack.start_agent(
        "bad-policy", stack.add_cluster("bad-policy"), kubeconfig, "--policy-file",
        str(tmp_path / "policy.yaml"), wait=False,
    )  # fmt: skip
    assert ended(agent, 20) == 1
    last = log_records(agent.log)[-1]
    assert "readOnli: unknown" in last["error"]


def test_on_sigterm_live_requests_finish(stack: Stack, api: FakeApi, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: object, _: Received) -> None:
        begun.set()
        go_on.wait(10)
        connection.sendall(answer("200 OK", b'{"slow":true}', "Content-Type: application/json"))  # type: ignore[attr-defined]

    api.on("/api/v1/slow", slow)
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
    agent = stack.start_agent("stopping", stack.add_cluster("stopping"), kubeconfig)
    answers: list[object] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            stack.request("GET", "/k8s/stopping/api/v1/slow", token=stack.admin_token)
        )
    )
    asking.start()
    assert begun.wait(10)
    os.kill(agent.pid, signal.SIGTERM)
    wait_for_record(agent, "stopping on a signal; a second one forces it")
    status, _ = stack.request("GET", "/k8s/stopping/api/v1/pods", token=stack.admin_token)
    assert status == 503
    go_on.set()
    asking.join(10)
    assert answers[0] == (200, {"slow": True})
    assert ended(agent, 20) == 0
    assert log_records(agent.log)[-1]["msg"] == "agent stopped"


def test_the_older_process_of_an_instance_says_why_and_stops(
    stack: Stack, api: FakeApi, tmp_path: Path
) -> None:
    token, kubeconfig = stack.add_cluster("twins"), api.kubeconfig(tmp_path / "kubeconfig")
    older = stack.start_agent("twins", token, kubeconfig, "--agent-id", "twin")
    newer = stack.start_agent("twins", token, kubeconfig, "--agent-id", "twin")
    assert ended(older, 30) == 1
    assert newer.running
    stopped = [each for each in log_records(older.log) if each["msg"] == "the agent stops"]
    assert "newer process" in stopped[0]["error"]
    wait_for(stack, "/k8s/twins/version", 200)


def test_diagnose_finds_everything_well_and_shows_no_secret(
    stack: Stack, api: FakeApi, tmp_path: Path
) -> None:
    token = stack.add_cluster("diagnosed")
    api.on("/apis/authorization.k8s.io", answer("201 Created", b'{"status":{"allowed":true}}'))
    command = [
        sys.executable, "-m", "pipeops.agent", "diagnose", "-o", "json", "--pipeops-url", stack.url, "--token-file",
        token, "--kubeconfig", api.kubeconfig(tmp_path / "kubeconfig"), "--cluster-name", "diagnosed",
    ]  # fmt: skip
    env = environment(HOME=str(tmp_path))
    trusted = subprocess.run(
        [*command, "--ca-file", stack.ca_file],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    document = json.loads(trusted.stdout)
    results = {each["check"]: each["result"] for each in document["checks"]}
    assert trusted.returncode == 0, trusted.stdout
    assert results["control plane token"] == "ok"
    assert results["control plane reachable: TLS"] in {"ok", "warn"}
    assert results["cluster rights: impersonate users"] == "ok"
    assert token.read_text() not in trusted.stdout + trusted.stderr
    assert "canary" not in trusted.stdout + trusted.stderr

    untrusted = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert untrusted.returncode == 1
    (finding,) = [
        each
        for each in json.loads(untrusted.stdout)["checks"]
        if each["check"] == "control plane reachable"
    ]
    assert "not trusted" in finding["detail"]
    assert "it was signed by" in finding["detail"]
    assert "--ca-file" in finding["advice"]
