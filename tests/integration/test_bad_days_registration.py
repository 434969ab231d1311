"""Tokens that are wrong, revoked or taken, and control planes that are not there."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeops.control.auth.tokens import TokenKind, new_token
from tests.integration.conftest import CLUSTER, Product
from tests.support.fakeapi import FakeApi
from tests.support.faults import log_records
from tests.support.processes import Child, free_port, wait_until
from tests.support.programs_of_ours import agent_command, agent_environment, run_agent
from tests.support.stack import Stack, environment

pytestmark = [pytest.mark.slow]

# The agent as it is, but with less patience.
IMPATIENT = """
import functools, sys
from pipeops.agent import app, cli
app.ConnectionTimes = functools.partial(app.ConnectionTimes, first=3.0)
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def cluster(product: Product) -> Iterator[str]:
    """A cluster of the test's own."""
    name = f"day-{time.monotonic_ns()}"
    yield name
    agent = product.stack.agents.pop(name, None)
    if agent is not None:
        agent.stop()
    product.check()


def pipeops(product: Product, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line as an administrator uses it."""
    stack = product.stack
    options = ["--server", stack.url, "--token-file", stack.directory / "control" / "admin-token"]
    return subprocess.run(
        [sys.executable, "-m", "pipeops.cli", *map(str, options), "--ca-file", str(stack.ca_file), *words],
        env=environment(HOME=str(directory)), cwd=directory, capture_output=True, text=True,
        timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def last_words(output: str) -> str:
    assert "Traceback" not in output
    return output.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (None, "the token is malformed"),
        (TokenKind.CLUSTER, "unknown to this control plane"),
        (TokenKind.USER, "this is a user token; use a cluster token here"),
    ],
)
def test_a_wrong_token_ends_the_first_registration_at_once(
    product: Product, tmp_path: Path, kind: TokenKind | None, words: str
) -> None:
    token = "canary-agent-token" if kind is None else new_token(kind)
    (tmp_path / "agent.token").write_text(token)
    kubeconfig = product.api.kubeconfig(tmp_path / "kubeconfig")
    options = ("--ca-file", str(product.stack.ca_file), "--port", "0")
    began = time.monotonic()
    done = run_agent(tmp_path, product.stack.url, kubeconfig, *options)
    assert time.monotonic() - began < 10
    assert done.returncode == 1
    last = last_words(done.stderr)
    for word in ("refused the agent's token (401)", words, "pipeops clusters token"):
        assert word in last
    assert token not in done.stdout + done.stderr
    product.check()


def test_a_revoked_token_ends_the_session_and_is_refused_at_the_next_start(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    stack = product.stack
    kubeconfig = product.api.kubeconfig(tmp_path / "kubeconfig")
    agent = stack.start_agent(cluster, stack.add_cluster(cluster), kubeconfig)
    done = pipeops(product, tmp_path, "clusters", "token", cluster, "--revoke-others")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: "revoked" in agent.log.read_text(), "the reason", timeout=10)
    status, body = stack.request("GET", f"/k8s/{cluster}/version", token=stack.admin_token)
    assert (status, body["kind"]) == (503, "Status")
    assert "is not connected" in body["message"]
    # It had been registered: it goes on asking, at leisure, since an administrator may yet help.
    wait_until(lambda: "(401)" in agent.log.read_text(), "the refusal", timeout=20)
    records = [each for each in log_records(agent.log) if "connection lost" in each["msg"]]
    assert "token was revoked" in records[0]["error"]
    assert records[-1]["retry_in"] >= 15
    assert agent.running
    agent.stop()

    again = stack.restart_agent(cluster, wait=False)
    wait_until(lambda: not again.running, "its end", timeout=20)
    assert again.exit_code == 1
    assert "refused the agent's token (401): " in last_words(again.log.read_text())


def test_a_new_token_in_the_same_file_is_taken_without_a_restart(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    stack = product.stack
    token = stack.add_cluster(cluster)
    agent = stack.start_agent(cluster, token, product.api.kubeconfig(tmp_path / "kubeconfig"))
    done = pipeops(
        product, tmp_path, "clusters", "token", cluster, "--revoke-others", "--write-token", "new"
    )
    assert done.returncode == 0, done.stderr
    token.write_text((tmp_path / "new").read_text())
    assert stack.wait_connected(cluster, agent, timeout=30) < 20


def test_the_name_of_a_cluster_can_be_taken_once(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    assert pipeops(product, tmp_path, "clusters", "add", cluster).returncode == 0
    token = (tmp_path / f"{cluster}.token").read_text()
    again = pipeops(product, tmp_path, "clusters", "add", cluster)
    assert again.returncode == 5  # the file with the first token is in the way
    assert f"{cluster}.token" in again.stderr
    other = pipeops(product, tmp_path, "clusters", "add", cluster, "--write-token", "other")
    assert other.returncode == 5
    assert cluster in other.stderr
    assert "pipeops clusters token" in other.stderr
    assert len(other.stderr.strip().splitlines()) <= 2
    assert not (tmp_path / "other").exists()
    assert (tmp_path / f"{cluster}.token").read_text() == token
    assert "Traceback" not in again.stderr + other.stderr


def test_a_cluster_that_is_removed_ends_its_agents_session_with_the_reason(
    product: Product, cluster: str, tmp_path: Path
) -> None:
    stack = product.stack
    kubeconfig = product.api.kubeconfig(tmp_path / "kubeconfig")
    agent = stack.start_agent(cluster, stack.add_cluster(cluster), kubeconfig)
    assert pipeops(product, tmp_path, "clusters", "remove", cluster, "--yes").returncode == 0
    wait_until(lambda: "connection lost" in agent.log.read_text(), "the reason", timeout=10)
    status, body = stack.request("GET", f"/k8s/{cluster}/version", token=stack.admin_token)
    assert status == 404
    assert "pipeops clusters list" in body["message"]


@pytest.mark.parametrize("where", ["nothing listens", "no such host"])
def test_a_control_plane_that_is_not_there_is_tried_for_a_while_and_then_given_up(
    tmp_path: Path, where: str
) -> None:
    """60 s in the product; 3 s here."""
    host = "127.0.0.1" if where == "nothing listens" else "control.invalid"
    reason = "Connection refused" if where == "nothing listens" else "not known"
    with FakeApi() as api:
        _, _, *arguments = agent_command(
            tmp_path, f"https://{host}:{free_port()}", api.kubeconfig(tmp_path / "kubeconfig")
        )
        command = [sys.executable, "-c", IMPATIENT, *arguments[1:]]
        began = time.monotonic()
        agent = Child(
            "agent", command, log=tmp_path / "agent.log", env=agent_environment(tmp_path), cwd=tmp_path
        )  # fmt: skip
        try:
            wait_until(lambda: not agent.running, "its end", timeout=20)
        finally:
            agent.stop()
    assert agent.exit_code == 1
    assert time.monotonic() - began > 3
    records = log_records(agent.log)
    assert len([each for each in records if each["msg"] == "control plane not reached"]) >= 2
    assert records[-1]["level"] == "error"
    assert "cannot be reached" in records[-1]["error"]
    assert reason in records[-1]["error"]
    assert "Traceback" not in agent.log.read_text()


def test_a_control_plane_that_comes_late_is_found(product: Product, tmp_path: Path) -> None:
    """An agent that starts first is no error: nothing is lost by the order."""
    with FakeApi() as api:
        stack = Stack(tmp_path / "late")
        with stack:
            token = stack.add_cluster(CLUSTER)
            assert stack.control is not None
            stack.control.stop()
            kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
            agent = stack.start_agent(CLUSTER, token, kubeconfig, wait=False)
            wait_until(lambda: "not reached" in agent.log.read_text(), "a try", timeout=20)
            stack.start_control()
            stack.wait_connected(CLUSTER, agent)
