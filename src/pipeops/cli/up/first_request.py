"""The first request through the tunnel: `kubectl get nodes`, or the same without kubectl."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeops.cli.connection import trust
from pipeops.cli.profile import Profile

DEADLINE = 30.0
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """How it went.

    Attributes:
        command: What was run or requested, for people.
        succeeded: Whether nodes came back.
        output: What it printed, or the error.
    """

    command: str
    succeeded: bool
    output: str


async def get_nodes(
    profile: Profile, cluster: str, kubeconfig: Path, environ: Mapping[str, str]
) -> FirstRequest:
    """List the cluster's nodes through the tunnel; a failure is a result, not an exception."""
    kubectl = shutil.which("kubectl", path=environ.get("PATH"))
    try:
        async with asyncio.timeout(DEADLINE):
            if kubectl is not None:
                return await _with_kubectl(kubectl, kubeconfig, environ)
            return await _without_kubectl(profile, cluster)
    except TimeoutError:
        return FirstRequest("get nodes", False, f"no answer within {DEADLINE:.0f} s")


async def _with_kubectl(kubectl: str, kubeconfig: Path, environ: Mapping[str, str]) -> FirstRequest:
    process = await asyncio.create_subprocess_exec(
        kubectl,
        "--kubeconfig",
        str(kubeconfig),
        "get",
        "nodes",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    text = output[-8192:].decode("utf-8", "replace").rstrip()
    return FirstRequest("kubectl get nodes", process.returncode == 0, text)


async def _without_kubectl(profile: Profile, cluster: str) -> FirstRequest:
    command = f"GET /k8s/{cluster}/api/v1/nodes"
    assert profile.token is not None  # noqa: S101 - made by our caller
    headers = {"Authorization": f"Bearer {profile.token.reveal()}", "Accept": _TABLE}
    try:
        async with httpx.AsyncClient(verify=trust(profile.ca_file), trust_env=False) as client:
            answer = await client.get(
                f"{profile.server}/k8s/{cluster}/api/v1/nodes", headers=headers, timeout=DEADLINE
            )
        document = answer.json()
    except (httpx.TransportError, ValueError) as error:
        return FirstRequest(command, False, str(error) or type(error).__name__)
    if not answer.is_success:
        return FirstRequest(command, False, str(document.get("message", answer.status_code)))
    return FirstRequest(command, True, render(document))


def render(document: dict[str, Any]) -> str:
    """Return a `meta.k8s.io` Table as kubectl would print it; of a list, the names."""
    if document.get("kind") != "Table":
        return "\n".join(item["metadata"]["name"] for item in document.get("items", ()))
    shown = [
        index
        for index, column in enumerate(document["columnDefinitions"])
        if not column["priority"]
    ]
    lines = [[str(document["columnDefinitions"][index]["name"]).upper() for index in shown]]
    lines += [[str(row["cells"][index]) for index in shown] for row in document["rows"]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(shown))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
