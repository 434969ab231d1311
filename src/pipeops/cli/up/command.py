"""`pipeops up`: the command, its signals, its words, and the status while it runs."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipeops.cli.client import ApiClient, Json
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.presenting import Format, output_option, print_json, span
from pipeops.cli.profile import CONFIG_FILE, config_files, state_home
from pipeops.cli.up.home import Home
from pipeops.cli.up.progress import Progress
from pipeops.cli.up.running import Running, Up, UpOptions
from pipeops.runtime import logs
from pipeops.runtime.clock import Clock

STATUS_INTERVAL = 2.0


@click.command()
@click.option(
    "--cluster",
    default="auto",
    show_default=True,
    metavar="sim|current|CONTEXT",
    help="Cluster to connect: the simulated one, the kubeconfig's current one, or a context. "
    "auto takes the current one if it is reachable, else the simulated one.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    help="Port of the control plane, remembered for later runs.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the data is kept; or PIPEOPS_HOME.  [default: ~/.local/state/pipeops]",
)
@click.option("--as", "user", help="Kubernetes user to act as, instead of the kubeconfig's own.")
@click.option("--as-group", "groups", multiple=True, help="Group to act in; may be repeated.")
@output_option
@click.pass_context
def up(
    context: click.Context,
    /,
    *,
    cluster: str,
    port: int | None,
    home: Path | None,
    form: Format,
    **identity: tuple[str, ...] | str | None,
) -> int:
    """Start everything on this machine: control plane, agent, and a cluster if there is none.

    Stays up, with a status line, until Ctrl-C, which stops everything. A second run continues with the same state.
    With -o json a document is printed once everything is up, and nothing else on standard output.
    """
    del context
    user, groups = identity["user"], identity["groups"]
    if groups and user is None:
        raise click.UsageError("--as-group needs --as")
    options = UpOptions(
        cluster=cluster,
        port=port,
        user=user if isinstance(user, str) else None,
        groups=groups if isinstance(groups, tuple) else (),
    )
    logs.configure("warning")
    place = Home(home.expanduser().absolute() if home else state_home(os.environ))
    place.prepare()
    with place.locked():
        return asyncio.run(_run(place, options, as_json=form == "json"))


async def _run(home: Home, options: UpOptions, *, as_json: bool) -> int:
    progress = Progress(quiet_stdout=as_json)
    clock = Clock()
    stop = _Stop()
    was_up = False
    try:
        with stop.on_signals():
            async with Up(home, options, os.environ, progress, clock).started() as running:
                was_up = True
                if as_json:
                    print_json(running.summary())
                    sys.stdout.flush()
                else:
                    _show(running, progress)
                await _watch(running, progress, clock)
    except asyncio.CancelledError:
        if not stop.requested:
            raise
    finally:
        progress.close()
    progress.plain("everything is stopped")
    return ExitCode.OK if was_up else ExitCode.INTERRUPTED


class _Stop:
    """Turns the first SIGINT or SIGTERM into cancellation; one that comes later ends the process.

    Supervisors signal a process and its group, so the same wish may arrive twice: a second signal counts only after
    `patience` seconds.
    """

    def __init__(
        self, force_exit: Callable[[int], object] = os._exit, patience: float = 0.5
    ) -> None:
        self.requested = False
        self._force_exit = force_exit
        self._patience = patience

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Watch for signals to the current task while the block runs."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - we are called from a coroutine
        first = 0.0

        def received(number: signal.Signals) -> None:
            nonlocal first
            if not self.requested:
                self.requested, first = True, loop.time()
                task.cancel()
            elif loop.time() - first >= self._patience:
                # The children end with us: the kernel tells them.
                self._force_exit(128 + number)

        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, received, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def _show(running: Running, progress: Progress) -> None:
    first = running.first
    progress.plain(f"\n$ {first.command}\n{first.output}\n")
    if not first.succeeded:
        progress.warn("that did not work; the logs may tell why: " + str(running.home.logs))
    progress.plain("Try next, in another terminal:\n")
    for line in next_steps(running):
        progress.plain(f"  {line}")
    progress.plain("")


def next_steps(running: Running) -> list[str]:
    """Return commands that are worth trying now."""
    steps = [f"export KUBECONFIG={shlex.quote(str(running.home.kubeconfig))}"]
    own = running.home.root / CONFIG_FILE
    found = next((path for path in config_files(os.environ) if path.is_file()), None)
    if found != own:
        steps.append(f"export PIPEOPS_HOME={shlex.quote(str(running.home.root))}")
    program = _own_name()
    needed = "" if shutil.which("kubectl") else "     # kubectl is not installed here"
    steps += [
        f"kubectl get pods --all-namespaces{needed}",
        "kubectl auth can-i --list",
        f"{program} clusters show {running.backend.name}",
        f"{program} clusters add NAME     # connect another cluster",
    ]
    return steps


def _own_name() -> str:
    """Return how the person can call this program from another directory."""
    if shutil.which("pipeops"):
        return "pipeops"
    called = Path(sys.argv[0])
    if called.name == "pipeops":
        return shlex.quote(str(called.absolute()))
    return f"{shlex.quote(sys.executable)} -m pipeops.cli"


async def _watch(running: Running, progress: Progress, clock: Clock) -> None:
    """Show how things are until cancelled."""
    began = clock.monotonic()
    name = running.backend.name
    with ApiClient(running.profile) as api:
        while True:
            try:
                cluster = await asyncio.to_thread(api.cluster, name)
            except CliError as error:
                state, detail = "control plane does not answer", str(error)
            else:
                state, detail = describe(cluster)
            progress.status(state, f"{detail} · up {span(clock.monotonic() - began)}")
            await asyncio.sleep(STATUS_INTERVAL)


def describe(cluster: Json) -> tuple[str, str]:
    """Return state and detail of a cluster's connection, for the status line."""
    connection = cluster["connection"]
    name = cluster["name"]
    if not connection["connected"]:
        return f"{name} is disconnected", "the agent is trying to reconnect"
    lanes = connection["lanes"]
    detail = f"{lanes} {'lane' if lanes == 1 else 'lanes'}"
    if connection["rtt_ms"] is not None:
        detail += f", round trip {connection['rtt_ms']:.1f} ms"
    return f"{name} is connected", detail
