"""`sh` as a program: -c, a script, its input line by line, or prompts on a terminal."""

import asyncio
import errno
from collections.abc import Coroutine
from typing import Any

from pipeops.sim.pods import syntax
from pipeops.sim.pods.builtins import BUILTINS, MAX_LINE, read_line
from pipeops.sim.pods.expansion import Variables
from pipeops.sim.pods.lexer import ScriptError
from pipeops.sim.pods.process import SIGINT_CODE, SIGPIPE_CODE, Process, decode
from pipeops.sim.pods.shell import MAX_DEPTH, LoopControl, Shell, ShellExit
from pipeops.sim.pods.terminal import Terminal

MAX_SCRIPT = 1 << 18


async def interruptible(terminal: Terminal, part: Coroutine[Any, Any, int]) -> int:
    """Run to the exit code; Ctrl-C on the terminal ends it with 130."""
    interrupted = False
    async with asyncio.TaskGroup() as group:
        task = group.create_task(part)

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            task.cancel()

        before, terminal.on_interrupt = terminal.on_interrupt, interrupt
        try:
            await asyncio.wait([task])
        finally:
            terminal.on_interrupt = before
    return SIGINT_CODE if interrupted and task.cancelled() else task.result()


async def sh(process: Process) -> int:
    """The program `sh` (also `bash`, `ash`)."""
    if process.depth >= MAX_DEPTH:
        return await process.complain("shells nested too deeply", 2)
    process.depth += 1
    options = process.argv[1:]
    flags = ""
    while options and options[0][:1] in {"-", "+"} and len(options[0]) > 1:
        flags += options.pop(0)[1:]
    script: str | None = None
    if "c" in flags:
        if not options:
            return await process.complain("-c requires an argument", 2)
        script, arguments = options[0], options[1:] or [process.argv[0]]
    elif options:
        try:
            file = process.files.file(options[0], process.directory)
        except OSError as error:
            return await process.complain(f"can't open '{options[0]}': {error.strerror}", 2)
        script, arguments = decode(bytes(file.data[:MAX_SCRIPT])), options
    else:
        arguments = [process.argv[0]]
    defaults = {"PS1": "$ ", "PS2": "> ", "PWD": process.directory}
    variables = Variables(defaults | process.environment, arguments)
    variables.exported = set(process.environment) | {"PWD"}
    shell = Shell(process, variables, BUILTINS)
    shell.exit_on_error = "e" in flags
    return await _to_the_end(shell, script)


async def _to_the_end(shell: Shell, script: str | None) -> int:
    terminal = shell.process.terminal if shell.process.stdin.is_terminal else None
    try:
        if script is not None:
            code = await shell.run_text(script, shell.io)
        elif terminal is not None:
            code = await _prompting(shell, terminal)
        else:
            code = await _from_input(shell)
    except ShellExit as end:
        code = end.code
    except LoopControl:
        code = 0
    action = shell.traps.get("EXIT")
    if action:
        try:
            await shell.run_text(action, shell.io)
        except ShellExit as end:
            return end.code
    return code


async def _from_input(shell: Shell) -> int:
    pending = ""
    while line := await read_line(shell.process.stdin):
        pending += decode(line)
        try:
            tree = syntax.parse(pending)
        except ScriptError as error:
            if error.incomplete and len(pending) < MAX_LINE:
                continue
            return await shell.complain(shell.io, f"syntax error: {error}", 2)
        pending = ""
        await shell.run_list(tree, shell.io)
    if pending:
        return await shell.run_text(pending, shell.io)
    return shell.variables.status


async def _prompting(shell: Shell, terminal: Terminal) -> int:
    pending = ""

    def resized() -> None:
        if "WINCH" in shell.traps:
            shell.signals.add("WINCH")

    before, terminal.on_resize = terminal.on_resize, resized
    try:
        while True:
            await shell.run_traps(shell.io)
            await _prompt(shell, "PS2" if pending else "PS1")
            typed = await _typed(shell, terminal)
            if typed is None:
                pending = ""
                shell.variables.status = SIGINT_CODE
                continue
            if not typed:
                break
            pending += decode(typed)
            try:
                tree = syntax.parse(pending)
            except ScriptError as error:
                if not error.incomplete or len(pending) > MAX_LINE:
                    pending = ""
                    shell.variables.status = await shell.complain(
                        shell.io, f"syntax error: {error}", 2
                    )
                continue
            pending = ""
            await _run(shell, terminal, tree)
    finally:
        terminal.on_resize = before
    return shell.variables.status


async def _prompt(shell: Shell, name: str) -> None:
    text = shell.variables.value(name) or ""
    await shell.process.print(text.replace("\\w", shell.directory).replace("\\$", "#"))


async def _typed(shell: Shell, terminal: Terminal) -> bytes | None:
    """One line; empty at Ctrl-D, None at Ctrl-C."""
    line = b""

    async def read() -> int:
        nonlocal line
        line = await shell.process.stdin.read(MAX_LINE)
        return 0

    if await interruptible(terminal, read()) == SIGINT_CODE:
        await shell.process.print("\n")
        return None
    if not line:
        await shell.process.print("\n")
    return line


async def _run(shell: Shell, terminal: Terminal, tree: syntax.List) -> None:
    leaving: ShellExit | None = None

    async def run() -> int:
        # An exit may not leave the task as an exception: its group would wrap it.
        nonlocal leaving
        try:
            return await shell.run_list(tree, shell.io)
        except ShellExit as end:
            leaving = end
            return end.code
        except LoopControl:
            return 0
        except BrokenPipeError:
            return SIGPIPE_CODE
        except RecursionError:
            return await shell.complain(shell.io, "nested too deeply", errno.E2BIG)

    code = await interruptible(terminal, run())
    if leaving is not None:
        raise leaving
    shell.variables.status = code
    if code == SIGINT_CODE:
        await shell.process.print("\n")
