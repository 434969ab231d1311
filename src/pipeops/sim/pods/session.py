"""One exec or attach session: a program on the client's streams, until it, the pod or the client ends."""

import asyncio

from pipeops.sim.objects import JsonObject
from pipeops.sim.pods.instances import PodInstance
from pipeops.sim.pods.process import SIGINT_CODE, SIGKILL_CODE, SIGPIPE_CODE, Process
from pipeops.sim.pods.programs.table import run
from pipeops.sim.pods.terminal import Terminal
from pipeops.sim.streaming.pipes import Nothing, Sink, Source
from pipeops.sim.streaming.remotecommand import Streams

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment_of(container: JsonObject, pod_name: str, *, tty: bool) -> dict[str, str]:
    """What programs of a container see."""
    found = {"PATH": PATH, "HOSTNAME": pod_name}
    if tty:
        found["TERM"] = "xterm"
    for each in container.get("env") or ():
        if isinstance(each.get("value"), str):
            found[each["name"]] = each["value"]
    found.setdefault("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    found.setdefault("KUBERNETES_SERVICE_PORT", "443")
    found.setdefault("HOME", "/root")
    return found


class Session:
    """A program and its streams. Cancelling `run` ends the program and everything it started."""

    def __init__(
        self,
        pod: PodInstance,
        container: JsonObject,
        argv: list[str],
        streams: Streams,
        *,
        tty: bool,
    ) -> None:
        self._pod = pod
        self._streams = streams
        self.terminal: Terminal | None = None
        stdin: Source = streams.stdin or Nothing()
        stdout: Sink = streams.stdout or Nothing()
        stderr: Sink = streams.stderr or Nothing()
        if tty:
            self.terminal = Terminal(stdout)
            stdin, stdout, stderr = self.terminal.input, self.terminal.output, self.terminal.output
        self._process = Process(
            argv=argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            environment=environment_of(container, pod.name, tty=tty),
            directory=container.get("workingDir") or "/",
            files=pod.files,
            hostname=pod.name,
            run=run,
            terminal=self.terminal,
        )

    async def run(self) -> int:
        """The exit code: 130 after Ctrl-C, 137 when the pod goes.

        Raises:
            FileNotFoundError, PermissionError: the program cannot be started.
        """
        killed_by = 0
        failure: OSError | None = None

        async def program() -> int:
            nonlocal failure
            try:
                return await run(self._process)
            except BrokenPipeError:
                return SIGPIPE_CODE
            except (FileNotFoundError, PermissionError) as error:
                failure = error
                return 1

        async with asyncio.TaskGroup() as group:
            main = group.create_task(program())

            def interrupt() -> None:
                nonlocal killed_by
                killed_by = SIGINT_CODE
                main.cancel()

            beside: list[asyncio.Task[None]] = []
            if self.terminal is not None:
                self.terminal.on_interrupt = interrupt
                beside = self._terminal_tasks(group, self.terminal)
            over = group.create_task(self._pod.over.wait())
            await asyncio.wait([main, over], return_when=asyncio.FIRST_COMPLETED)
            if not main.done():
                killed_by = SIGKILL_CODE
                main.cancel()
            for task in (over, *beside):
                task.cancel()
        if failure is not None:
            raise failure
        return killed_by if main.cancelled() else main.result()

    def _terminal_tasks(
        self, group: asyncio.TaskGroup, terminal: Terminal
    ) -> list[asyncio.Task[None]]:
        tasks: list[asyncio.Task[None]] = [group.create_task(self._follow_sizes(terminal))]
        if self._streams.stdin is not None:
            tasks.append(group.create_task(terminal.run(self._streams.stdin)))
        return tasks

    async def _follow_sizes(self, terminal: Terminal) -> None:
        async for rows, columns in self._streams.sizes():
            terminal.resize(rows, columns)


def succeeded() -> JsonObject:
    """The Status of code 0."""
    return {"metadata": {}, "status": "Success"}


def exited(argv: list[str], code: int) -> JsonObject:
    """The Status of a program that ran to its exit code, in the words of a container runtime."""
    if code == 0:
        return succeeded()
    shown = " ".join(argv)[:200]
    return {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: "
        f"error executing command [{shown}], exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def not_started(pod: PodInstance, argv: list[str], error: OSError) -> JsonObject:
    """The Status of a program that could not be started, in the words of containerd and runc."""
    name = argv[0] if argv else ""
    why = f'exec: "{name}": executable file not found in $PATH'
    if isinstance(error, PermissionError):
        why = f'exec: "{name}": permission denied'
    elif "/" in name:
        why = f'exec: "{name}": stat {name}: no such file or directory'
    task = pod.uid.replace("-", "") * 2
    message = (
        "error executing command in container: failed to exec in container: failed to start "
        f'exec "{task[:64]}": OCI runtime exec failed: exec failed: '
        f"unable to start container process: {why}: unknown"
    )
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
