"""The toy shell's evaluator: lists, pipelines, loops, redirections, builtins, traps."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from pipeops.sim.pods import syntax
from pipeops.sim.pods.expansion import Expander, ExpansionError, Variables
from pipeops.sim.pods.lexer import ScriptError, Substitution
from pipeops.sim.pods.process import SIGPIPE_CODE, Process, decode, encode, open_sink, open_source
from pipeops.sim.streaming.pipes import Pipe, Sink, Source

MAX_DEPTH = 12
MAX_OUTPUT = 1 << 20
"""What one command substitution may print."""


class ShellExit(Exception):
    """`exit`: the shell ends with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class LoopControl(Exception):
    """`break` and `continue`."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.again = again


@dataclass(frozen=True, slots=True)
class Io:
    """The three streams of a command."""

    stdin: Source
    stdout: Sink
    stderr: Sink


Builtin = Callable[["Shell", list[str], Io], Awaitable[int]]
"""A command that changes the shell: shell, words, streams to exit code."""


class Captured:
    """Collects what a command substitution prints."""

    is_terminal = False

    def __init__(self) -> None:
        self.data = bytearray()

    async def write(self, data: bytes) -> None:
        """Keep it; BrokenPipeError beyond the limit."""
        self.data += data
        if len(self.data) > MAX_OUTPUT:
            raise BrokenPipeError("command substitution: output too long")
        await asyncio.sleep(0)


class Shell:
    """One shell, or subshell, of a process. `name` begins its messages."""

    def __init__(
        self, process: Process, variables: Variables, builtins: Mapping[str, Builtin]
    ) -> None:
        self.process = process
        self.variables = variables
        self.builtins = builtins
        self.directory = process.directory
        self.name = process.argv[0].lstrip("-").rpartition("/")[2]
        self.exit_on_error = False
        self.traps: dict[str, str] = {}
        self.signals: set[str] = set()

    @property
    def io(self) -> Io:
        """The shell's own streams."""
        return Io(self.process.stdin, self.process.stdout, self.process.stderr)

    async def complain(self, io: Io, message: str, code: int = 1) -> int:
        """Write `sh: message` to stderr; returns `code`."""
        await io.stderr.write(encode(f"{self.name}: {message}\n"))
        return code

    async def run_text(self, text: str, io: Io) -> int:
        """Parse and run; a syntax error is code 2. ShellExit may end it."""
        try:
            tree = syntax.parse(text)
        except ScriptError as error:
            self.variables.status = await self.complain(io, f"syntax error: {error}", 2)
            return 2
        return await self.run_list(tree, io)

    async def run_list(self, tree: syntax.List, io: Io, *, tested: bool = False) -> int:
        """Run pipelines one after another; `tested` means that failure is not an error."""
        for number, (connector, pipeline) in enumerate(tree.items):
            status = self.variables.status
            if (connector == "&&" and status) or (connector == "||" and not status):
                continue
            self.variables.status = await self._pipeline(pipeline, io)
            await self.run_traps(io)
            following = tree.items[number + 1][0] if number + 1 < len(tree.items) else ";"
            is_checked = tested or following != ";" or pipeline.negated
            if self.exit_on_error and self.variables.status and not is_checked:
                raise ShellExit(self.variables.status)
        return self.variables.status

    async def run_traps(self, io: Io) -> None:
        """Run the actions of signals that arrived."""
        while self.signals:
            action = self.traps.get(self.signals.pop(), "")
            status = self.variables.status
            await self.run_text(action, io)
            self.variables.status = status

    def subshell(self) -> "Shell":
        """A copy that changes nothing here."""
        found = Shell(self.process, self.variables.copy(), self.builtins)
        found.directory, found.exit_on_error = self.directory, self.exit_on_error
        return found

    async def _pipeline(self, pipeline: syntax.Pipeline, io: Io) -> int:
        await asyncio.sleep(0)  # a loop that never waits must not hold the cluster
        if len(pipeline.commands) == 1:
            status = await self.run_command(pipeline.commands[0], io, tested=pipeline.negated)
        else:
            status = await self._joined(pipeline.commands, io)
        return int(not status) if pipeline.negated else status

    async def _joined(self, commands: list[syntax.Command], io: Io) -> int:
        tasks: list[asyncio.Task[int]] = []
        async with asyncio.TaskGroup() as group:
            entry: Pipe | None = None
            for command in commands[:-1]:
                pipe = Pipe()
                stage = self.subshell().stage(command, io, entry, pipe)
                tasks.append(group.create_task(stage))
                entry = pipe
            tasks.append(group.create_task(self.subshell().stage(commands[-1], io, entry, None)))
        return tasks[-1].result()

    async def stage(
        self, command: syntax.Command, io: Io, entry: Pipe | None, way_out: Pipe | None
    ) -> int:
        """Run one command of a pipeline, then close its ends of the pipes."""
        try:
            return await self.contained(
                command, Io(entry or io.stdin, way_out or io.stdout, io.stderr)
            )
        finally:
            if way_out is not None:
                way_out.finish()
            if entry is not None:
                entry.close()

    async def contained(self, command: syntax.Command, io: Io) -> int:
        """Run a command of a subshell to its code, whatever ends it."""
        try:
            return await self.run_command(command, io)
        except ShellExit as end:
            return end.code
        except LoopControl:
            return 0
        except BrokenPipeError:
            return SIGPIPE_CODE

    async def run_command(self, command: syntax.Command, io: Io, *, tested: bool = False) -> int:
        """Run one command of any kind."""
        match command:
            case syntax.Simple():
                return await self._simple(command, io)
            case syntax.Group(body=body, subshell=False):
                return await self.run_list(body, io, tested=tested)
            case syntax.Group(body=body):
                whole = syntax.Group(body, subshell=False)
                return await self.subshell().contained(whole, io)
            case syntax.If():
                return await self._if(command, io)
            case syntax.Loop():
                return await self._loop(command, io)
            case syntax.For():
                return await self._for(command, io)
            case syntax.Redirected(command=inner, redirections=redirections):
                redirected = await self._redirected(redirections, io)
                return 1 if redirected is None else await self.run_command(inner, redirected)

    async def _if(self, command: syntax.If, io: Io) -> int:
        for condition, body in command.branches:
            if await self.run_list(condition, io, tested=True) == 0:
                return await self.run_list(body, io)
        self.variables.status = 0
        return await self.run_list(command.otherwise, io) if command.otherwise else 0

    async def _loop(self, command: syntax.Loop, io: Io) -> int:
        status = 0
        while (await self.run_list(command.condition, io, tested=True) != 0) is command.until:
            try:
                status = await self.run_list(command.body, io)
            except LoopControl as control:
                if not control.again:
                    break
        return status

    async def _for(self, command: syntax.For, io: Io) -> int:
        status = 0
        try:
            words = self.variables.arguments[1:]
            if command.words is not None:
                words = await self.expander(io).fields(command.words)
            for word in words:
                self.variables.assign(command.name, word)
                try:
                    status = await self.run_list(command.body, io)
                except LoopControl as control:
                    if not control.again:
                        break
        except ExpansionError as error:
            return await self.complain(io, str(error), 2)
        return status

    async def _simple(self, command: syntax.Simple, io: Io) -> int:
        try:
            expander = self.expander(io)
            words = await expander.fields(command.words)
            assigned = {name: await expander.text(word) for name, word in command.assignments}
            redirected = await self._redirected(command.redirections, io)
            if redirected is None:
                return 1
            if not words:
                for name, value in assigned.items():
                    self.variables.assign(name, value)
                return self.variables.status if _substitutes(command) else 0
            return await self._start(words, assigned, redirected)
        except ExpansionError as error:
            return await self.complain(io, str(error), 2)

    async def _start(self, words: list[str], assigned: Mapping[str, str], io: Io) -> int:
        builtin = self.builtins.get(words[0])
        if builtin is not None:
            for name, value in assigned.items():
                self.variables.assign(name, value)
            return await builtin(self, words, io)
        process = replace(
            self.process,
            argv=words,
            stdin=io.stdin,
            stdout=io.stdout,
            stderr=io.stderr,
            directory=self.directory,
            environment={**self.variables.environment(), **assigned},
        )
        try:
            return await self.process.run(process)
        except FileNotFoundError:
            return await self.complain(io, f"{words[0]}: not found", 127)
        except PermissionError:
            return await self.complain(io, f"{words[0]}: Permission denied", 126)

    def expander(self, io: Io) -> Expander:
        """Expands words as the shell stands."""

        async def substitute(script: str) -> str:
            if self.process.depth >= MAX_DEPTH:
                raise ExpansionError("command substitution nested too deeply")
            captured = Captured()
            inner = self.subshell()
            inner.process = replace(self.process, depth=self.process.depth + 1)
            inner_io = Io(io.stdin, captured, io.stderr)
            try:
                self.variables.status = await inner.run_text(script, inner_io)
            except ShellExit as end:
                self.variables.status = end.code
            except BrokenPipeError as error:
                raise ExpansionError(str(error)) from error
            return decode(bytes(captured.data)).rstrip("\n")

        return Expander(self.variables, self.process.files, self.directory, substitute)

    async def _redirected(self, redirections: list[syntax.Redirection], io: Io) -> Io | None:
        """The streams after redirections; None when one of them failed, which stderr tells."""
        for each in redirections:
            path = ""
            try:
                path = await self.expander(io).text(each.target)
                io = await self._redirect(each, path, io)
            except OSError as problem:
                verb = "open" if each.operator == "<" else "create"
                missing = "no such file" if verb == "open" else "nonexistent directory"
                why = missing if problem.errno == errno.ENOENT else problem.strerror
                await self.complain(io, f"can't {verb} {path}: {why}")
                return None
        return io

    async def _redirect(self, each: syntax.Redirection, path: str, io: Io) -> Io:
        files, directory = self.process.files, self.directory
        if each.operator == "<<":
            body = encode(path)
            pipe = Pipe(limit=len(body) + 1)
            await pipe.put(body)
            pipe.finish()
            return replace(io, stdin=pipe)
        if each.operator == "<":
            return (
                io
                if path == "/dev/stdin"
                else replace(io, stdin=open_source(files, path, directory))
            )
        named: dict[str, Sink] = {"1": io.stdout, "2": io.stderr}
        if each.operator in {">&", "<&"}:
            sink = named.get(path)
            if sink is None:
                return io
        else:
            own = {
                "/dev/stdout": io.stdout,
                "/dev/stderr": io.stderr,
                "/dev/tty": self.process.stdout,
            }
            append = each.operator == ">>"
            sink = own.get(path) or open_sink(files, path, directory, append=append)
        if each.descriptor == 2:
            return replace(io, stderr=sink)
        return replace(io, stdout=sink) if each.descriptor == 1 else io


def _substitutes(command: syntax.Simple) -> bool:
    return any(
        isinstance(part, Substitution) for _, word in command.assignments for part in word.parts
    )
