"""One agent, or one control plane, as a process by itself: for tests of how it starts, fails and ends."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import Child
from tests.support.stack import environment


def agent_command(
    directory: Path, url: str, kubeconfig: Path, *extra: str, prefix: Sequence[str] = ()
) -> list[str | Path]:
    """Arguments of an agent whose token is in a file below `directory`; `prefix` names another command of it."""
    token = directory / "agent.token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text("canary-agent-token")
    return [
        sys.executable, "-m", "pipeops.agent", *prefix, "--pipeops-url", url, "--token-file", token,
        "--cluster-name", "test", "--kubeconfig", kubeconfig, *extra,
    ]  # fmt: skip


def agent_environment(directory: Path, **more: str) -> dict[str, str]:
    """An agent keeps its state below `directory`."""
    return environment(HOME=str(directory), PIPEOPS_STATE_PATH=str(directory), **more)


def agent_process(
    directory: Path, url: str, kubeconfig: Path, *extra: str, env: dict[str, str] | None = None
) -> Child:
    """An agent in the background; its log is `agent.log`."""
    return Child(
        "agent",
        agent_command(directory, url, kubeconfig, *extra),
        log=directory / "agent.log",
        env=agent_environment(directory, **(env or {})),
        cwd=directory,
    )


def run_agent(
    directory: Path,
    url: str,
    kubeconfig: Path,
    *extra: str,
    env: dict[str, str] | None = None,
    timeout: float = 60,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """An agent to its own end."""
    return subprocess.run(
        agent_command(directory, url, kubeconfig, *extra, prefix=prefix),
        env=agent_environment(directory, **(env or {})),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run_control(
    directory: Path, *arguments: str | Path, timeout: float = 60, wrapper: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """A control plane to its own end, started by `wrapper`, a command before its own."""
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "pipeops.control", *map(str, arguments)],
        env=environment(HOME=str(directory)),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
