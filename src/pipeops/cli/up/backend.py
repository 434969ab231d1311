"""Backend: which cluster `pipeops up` connects, and why that one."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeops.cli.connection import is_loopback
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.up.kubeconfig_extract import Document, current_context, extract, kubeconfig_files
from pipeops.cli.up.state import UpState
from pipeops.kube.config import KubeAccess, load_kubeconfig
from pipeops.kube.errors import KubeError

SIM_NAME = "sim"
AUTO, SIM, CURRENT = "auto", "sim", "current"

Probe = Callable[[KubeAccess], Awaitable[str]]
"""Asks an API server for its version; raises `KubeError` when it cannot be reached."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The chosen cluster.

    Attributes:
        name: What the control plane calls it.
        reason: Why it was chosen, for people.
        context: Context it comes from; None for the simulated cluster.
        document: Kubeconfig with only this context, for the agent.
        files: Kubeconfig files it comes from.
    """

    name: str
    reason: str
    context: str | None = None
    document: Document | None = None
    files: tuple[Path, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether it is the built-in simulated cluster."""
        return self.context is None


async def choose_backend(
    wanted: str, state: UpState, environ: Mapping[str, str], probe: Probe, control_port: int
) -> Backend:
    """Choose the cluster.

    Args:
        wanted: ``auto``, ``sim``, ``current`` or the name of a context.
        state: What the last run chose.
        environ: For KUBECONFIG and HOME.
        probe: How to find out whether an API server is reachable.
        control_port: Our own port: a kubeconfig that leads through ourselves is no cluster to connect.

    Raises:
        CliError: A cluster that was asked for by name cannot be used.
    """
    if wanted == SIM:
        return Backend(SIM_NAME, "you asked for the simulated cluster")
    files = kubeconfig_files(environ)
    if wanted not in (AUTO, CURRENT):
        return await _context_backend(files, wanted, "you asked for it", probe)
    try:
        name = _usable_current(files, environ, control_port)
        if wanted == CURRENT:
            return await _context_backend(files, name, "it is the current context", probe)
        return await _context_backend(
            files, name, "it is your kubeconfig's current context and reachable", probe
        )
    except CliError as error:
        if wanted == CURRENT:
            raise
        problem = str(error)
    remembered = await _remembered(state, probe)
    if remembered is not None:
        return remembered
    return Backend(SIM_NAME, f"using the simulated cluster, because {problem}")


def label_of(context: str) -> str:
    """Return a cluster name (DNS label) for a context."""
    label = re.sub(r"[^a-z0-9]+", "-", context.lower()).strip("-")[:63].strip("-")
    if not label:
        return "cluster"
    return f"{label}-cluster" if label in (SIM_NAME, "agent") else label


def _usable_current(files: tuple[Path, ...], environ: Mapping[str, str], control_port: int) -> str:
    if not files:
        variable = environ.get("KUBECONFIG")
        where = f"KUBECONFIG={variable}" if variable else "~/.kube/config"
        raise CliError(f"there is no kubeconfig ({where} does not exist)")
    name = current_context(files)
    if name is None:
        raise CliError("your kubeconfig has no current context")
    access = _load(files, name)
    ours = access.base_path.startswith("/k8s/") and is_loopback(access.host)
    if ours and access.port == control_port:
        raise CliError(f"your current context {name!r} leads through this control plane itself")
    return name


def _load(files: tuple[Path, ...], context: str) -> KubeAccess:
    variable = ":".join(str(path) for path in files)
    try:
        return load_kubeconfig(context=context, environment={"KUBECONFIG": variable})
    except KubeError as error:
        raise CliError(str(error), hint="correct it, or use `pipeops up --cluster sim`") from error


async def _context_backend(
    files: tuple[Path, ...], context: str, reason: str, probe: Probe
) -> Backend:
    document = extract(files, context)
    access = _load(files, context)
    try:
        version = await probe(access)
    except KubeError as error:
        raise CliError(
            f"the cluster of context {context!r} cannot be used: {error}",
            hint="start it, choose another context, or use `pipeops up --cluster sim`",
            code=ExitCode.UNREACHABLE,
        ) from error
    return Backend(
        label_of(context), f"{reason} ({access.url}, {version})", context, document, files
    )


async def _remembered(state: UpState, probe: Probe) -> Backend | None:
    """Return the cluster of the last run where it is still there."""
    if state.context is None or state.kubeconfig is None:
        return None
    files = tuple(Path(part) for part in state.kubeconfig.split(":"))
    try:
        return await _context_backend(files, state.context, "the last run used it", probe)
    except CliError:
        return None
