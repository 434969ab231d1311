"""Starts `tests/conformance/goagent`, the Go-written peer that speaks only the PipeOps dialect."""

from pathlib import Path

import pytest

from tests.support import gobuild
from tests.support.apiserver import AGENT_ACCOUNT, AGENT_NAMESPACE, ApiServer
from tests.support.processes import Child
from tests.support.stack import Stack

MODULE = gobuild.TESTS / "conformance" / "goagent"


def binary() -> Path:
    """The built program; skips without Go."""
    built = gobuild.build(MODULE, "goagent")
    if built.path is None:
        pytest.skip(built.reason)
    return built.path


def start_go_agent(
    stack: Stack, apiserver: ApiServer, cluster: str, *extra: str, wait: bool = True
) -> Child:
    """Add a cluster and start a Go agent for it; `extra` are further flags of the program."""
    credential = stack.directory / f"{cluster}.service-token"
    credential.touch(mode=0o600)
    credential.write_text(
        apiserver.service_account_token(AGENT_NAMESPACE, AGENT_ACCOUNT, seconds=3600)
    )
    target = apiserver.url.removeprefix("https://")
    agent = Child(
        f"goagent {cluster}",
        [
            binary(), "-url", stack.url, "-token-file", stack.add_cluster(cluster), "-control-ca", stack.ca_file,
            "-name", cluster, "-agent-id", f"agent-{cluster}", "-kube-url", apiserver.url, "-kube-ca", apiserver.ca_file,
            "-service-token-file", credential, "-targets", f"kubernetes.default:443={target}", *extra,
        ],
        log=stack.log(f"goagent-{cluster}"),
    )  # fmt: skip
    stack.agents[cluster] = agent
    if wait:
        stack.wait_connected(cluster, agent)
    return agent
