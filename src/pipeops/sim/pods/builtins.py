"""The toy shell's builtins: what changes the shell itself."""

# ruff: noqa: ARG001 - every builtin takes what the table's type says

import posixpath
from collections.abc import Mapping
from types import MappingProxyType

from pipeops.sim.pods.lexer import NAME
from pipeops.sim.pods.process import decode, encode
from pipeops.sim.pods.shell import Builtin, Io, LoopControl, Shell, ShellExit
from pipeops.sim.streaming.pipes import Source

MAX_LINE = 1 << 16
SIGNALS = frozenset({"EXIT", "WINCH", "INT", "TERM", "HUP", "0"})


async def read_line(source: Source) -> bytes:
    """One line with its end, byte by byte: what follows is for whoever reads next."""
    line = bytearray()
    while len(line) < MAX_LINE:
        byte = await source.read(1)
        line += byte
        if not byte or byte == b"\n":
            break
    return bytes(line)


async def _cd(shell: Shell, words: list[str], io: Io) -> int:
    wanted = words[1] if len(words) > 1 else shell.variables.value("HOME") or "/"
    if wanted == "-":
        wanted = shell.variables.value("OLDPWD") or shell.directory
    target = shell.process.files.absolute(wanted, shell.directory)
    try:
        shell.process.files.folder(target)
    except OSError as error:
        return await shell.complain(io, f"cd: can't cd to {wanted}: {error.strerror}")
    shell.variables.assign("OLDPWD", shell.directory)
    shell.directory = target
    shell.variables.assign("PWD", target)
    return 0


async def _exit(shell: Shell, words: list[str], io: Io) -> int:
    if len(words) > 1 and not words[1].isdigit():
        raise ShellExit(await shell.complain(io, f"exit: Illegal number: {words[1]}", 2))
    raise ShellExit(int(words[1]) % 256 if len(words) > 1 else shell.variables.status)


async def _export(shell: Shell, words: list[str], io: Io) -> int:
    if len(words) == 1 or words[1] == "-p":
        for name, value in sorted(shell.variables.environment().items()):
            await io.stdout.write(encode(f"export {name}='{value}'\n"))
    for word in words[1:]:
        name, assigned, value = word.partition("=")
        if word == "-p":
            continue
        if not NAME.fullmatch(name):
            return await shell.complain(io, f"export: {word}: bad variable name", 2)
        if assigned:
            shell.variables.assign(name, value)
        shell.variables.exported.add(name)
    return 0


async def _unset(shell: Shell, words: list[str], io: Io) -> int:
    for name in words[1:]:
        shell.variables.values.pop(name, None)
        shell.variables.exported.discard(name)
    return 0


async def _set(shell: Shell, words: list[str], io: Io) -> int:
    if len(words) == 1:
        for name, value in sorted(shell.variables.values.items()):
            await io.stdout.write(encode(f"{name}='{value}'\n"))
    for number, word in enumerate(words[1:], 1):
        if word == "--" or word[:1] not in {"-", "+"}:
            shell.variables.arguments[1:] = words[number + (word == "--") :]
            break
        if "e" in word[1:]:
            shell.exit_on_error = word[0] == "-"
    return 0


async def _shift(shell: Shell, words: list[str], io: Io) -> int:
    count = int(words[1]) if len(words) > 1 and words[1].isdigit() else 1
    if count >= len(shell.variables.arguments):
        return await shell.complain(io, "shift: can't shift that many", 2)
    del shell.variables.arguments[1 : 1 + count]
    return 0


async def _read(shell: Shell, words: list[str], io: Io) -> int:
    names = [word for word in words[1:] if not word.startswith("-")] or ["REPLY"]
    line = decode(await read_line(io.stdin))
    if "-r" not in words[1:]:
        line = line.replace("\\\n", "").replace("\\", "")
    parts = line.strip().split(None, len(names) - 1)
    for number, name in enumerate(names):
        shell.variables.assign(name, parts[number] if number < len(parts) else "")
    return 0 if line.endswith("\n") else 1


async def _trap(shell: Shell, words: list[str], io: Io) -> int:
    if len(words) < 3:
        return 0
    for name in words[2:]:
        signal = name.upper().removeprefix("SIG")
        if signal not in SIGNALS and not signal.isdigit():
            return await shell.complain(io, f"trap: {name}: bad trap")
        signal = "EXIT" if signal == "0" else signal
        if words[1] == "-":
            shell.traps.pop(signal, None)
        else:
            shell.traps[signal] = words[1]
    return 0


async def _eval(shell: Shell, words: list[str], io: Io) -> int:
    return await shell.run_text(" ".join(words[1:]), io)


async def _source(shell: Shell, words: list[str], io: Io) -> int:
    try:
        file = shell.process.files.file(words[1] if len(words) > 1 else "", shell.directory)
    except OSError as error:
        return await shell.complain(io, f".: {' '.join(words[1:])}: {error.strerror}", 2)
    return await shell.run_text(decode(bytes(file.data[:MAX_LINE])), io)


async def _exec(shell: Shell, words: list[str], io: Io) -> int:
    if len(words) == 1:
        return 0
    process = shell.process.with_arguments(words[1:])
    process.stdin, process.stdout, process.stderr = io.stdin, io.stdout, io.stderr
    process.directory, process.environment = shell.directory, shell.variables.environment()
    try:
        raise ShellExit(await shell.process.run(process))
    except FileNotFoundError:
        raise ShellExit(await shell.complain(io, f"exec: {words[1]}: not found", 127)) from None


async def _nothing(shell: Shell, words: list[str], io: Io) -> int:
    return 0


async def _break(shell: Shell, words: list[str], io: Io) -> int:
    raise LoopControl(again=words[0] == "continue")


async def _command(shell: Shell, words: list[str], io: Io) -> int:
    """`command -v name`, `type name` and `which name`."""
    status = 0
    for name in [word for word in words[1:] if not word.startswith("-")]:
        if name in shell.builtins:
            shown = name
        elif shell.process.files.exists(posixpath.join("/bin", name)):
            shown = posixpath.join("/bin", name)
        else:
            status = 127 if words[0] == "type" else 1
            continue
        await io.stdout.write(
            encode(f"{name} is {shown}\n" if words[0] == "type" else f"{shown}\n")
        )
    return status


BUILTINS: Mapping[str, Builtin] = MappingProxyType(
    {
        ":": _nothing, "wait": _nothing, "umask": _nothing, "cd": _cd, "exit": _exit,
        "export": _export, "unset": _unset, "set": _set, "shift": _shift, "read": _read,
        "trap": _trap, "eval": _eval, ".": _source, "source": _source, "exec": _exec,
        "break": _break, "continue": _break, "command": _command, "type": _command,
    }
)  # fmt: skip
