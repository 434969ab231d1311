"""echo, printf, env, id, date, sleep, seq, test and other small programs."""

import asyncio
import re
from datetime import UTC, datetime

from pipeops.sim.pods.files import File, Folder, Link
from pipeops.sim.pods.process import Process, encode
from pipeops.sim.pods.programs.options import UsageError, number, options

MAX_SLEEP = 86_400.0
CHUNK = 1 << 14
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\"}
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def unescape(text: str) -> str:
    """Backslash escapes of echo -e and printf."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x":
            return chr(int(code[1:], 16))
        if code[0] == "0" or code[0].isdigit():
            return chr(int(code, 8) & 0xFF)
        return ESCAPES.get(code, "\\" + code)

    return re.sub(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,4}|.)", one, text, flags=re.DOTALL)


async def echo(process: Process) -> int:
    """Usage: `echo [-n] [-e] text…`."""
    words = process.argv[1:]
    flags = ""
    while words and re.fullmatch(r"-[neE]+", words[0]):
        flags += words.pop(0)[1:]
    text = " ".join(words)
    await process.print((unescape(text) if "e" in flags else text) + ("" if "n" in flags else "\n"))
    return 0


async def printf(process: Process) -> int:
    """Usage: `printf format argument…, with %s %d %x %c %b and %%`."""
    if len(process.argv) < 2:
        raise UsageError("usage: printf FORMAT [ARGUMENT]...")
    shape, arguments = unescape(process.argv[1]), process.argv[2:]
    pieces = re.split(r"%(-?0?\d{0,3})([sdixcb%])", shape)
    takes = any(kind != "%" for kind in pieces[2::3])
    while True:
        text = pieces[0]
        for width, kind, tail in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            if kind == "%":
                text += "%" + tail
                continue
            value = arguments.pop(0) if arguments else ""
            text += _formatted(width, kind, value) + tail
        await process.print(text)
        if not arguments or not takes:
            return 0


def _formatted(width: str, kind: str, value: str) -> str:
    if kind in "dix":
        whole = number(value or "0", "number")
        return f"%{width}{'x' if kind == 'x' else 'd'}" % whole
    shown = {"b": unescape(value), "c": value[:1]}.get(kind, value)
    return f"%{width}s" % shown


async def true(process: Process) -> int:
    """Code 0."""
    return int(process.name == "false")


async def pwd(process: Process) -> int:
    """The working folder."""
    await process.print(process.directory + "\n")
    return 0


async def env(process: Process) -> int:
    """Usage: `env [NAME=VALUE…] [program…]`."""
    words = process.argv[1:]
    environment = dict(process.environment)
    if words and words[0] in {"-i", "-"}:
        words.pop(0)
        environment.clear()
    while words and "=" in words[0].lstrip("="):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    if not words:
        await process.print("".join(f"{name}={value}\n" for name, value in environment.items()))
        return 0
    inner = process.with_arguments(words)
    inner.environment = environment
    try:
        return await process.run(inner)
    except FileNotFoundError:
        return await process.complain(f"can't execute '{words[0]}': No such file or directory", 127)


async def identity(process: Process) -> int:
    """Usage: `id, whoami`."""
    if process.name == "whoami" or process.argv[1:] == ["-un"]:
        await process.print("root\n")
    elif process.argv[1:2] in (["-u"], ["-g"]):
        await process.print("0\n")
    else:
        await process.print("uid=0(root) gid=0(root) groups=0(root)\n")
    return 0


async def hostname(process: Process) -> int:
    """The pod's name."""
    await process.print(process.hostname + "\n")
    return 0


async def uname(process: Process) -> int:
    """Usage: `uname [-a] [-s] [-n] [-r] [-m]`."""
    known = {"s": "Linux", "n": process.hostname, "r": "6.1.0-sim", "v": "#1 SMP", "m": "x86_64"}
    asked, _ = options(process, "asnrvm")
    letters = "snrvm" if "-a" in asked else "".join(each[1] for each in asked) or "s"
    await process.print(" ".join(known[each] for each in "snrvm" if each in letters) + "\n")
    return 0


async def date(process: Process) -> int:
    """Usage: `date [-u] [-I] [+format], in UTC`."""
    now = datetime.fromtimestamp(process.files.now(), UTC)
    _, rest = options(process, "uIR")
    shape = next((word[1:] for word in rest if word.startswith("+")), "%a %b %e %H:%M:%S UTC %Y")
    shape = "%Y-%m-%d" if "-I" in process.argv else shape
    shape = shape.replace("%s", str(int(now.timestamp()))).replace("%N", f"{now.microsecond:06}000")
    if re.search(r"%[^aAbBcCdDeFhHIjklmMnpPrRStTuUVwWxXyYzZ%GgN]", shape) or len(shape) > 1000:
        raise UsageError(f"invalid date format: {shape[:50]}")
    await process.print(now.strftime(shape) + "\n")
    return 0


async def sleep(process: Process) -> int:
    """Usage: `sleep duration…`."""
    total = 0.0
    for word in process.argv[1:]:
        match = re.fullmatch(r"(\d{1,12}(?:\.\d*)?|\.\d+|inf|infinity)([smhd]?)", word)
        if match is None:
            raise UsageError(f"invalid number '{word}'")
        amount = MAX_SLEEP if match[1].startswith("inf") else float(match[1])
        total += amount * UNITS[match[2]]
    if len(process.argv) == 1:
        raise UsageError("missing operand")
    await asyncio.sleep(min(total, MAX_SLEEP))
    return 0


async def seq(process: Process) -> int:
    """Usage: `seq [first [step]] last`."""
    words = process.argv[1:]
    if not 1 <= len(words) <= 3:
        raise UsageError("usage: seq [FIRST [INC]] LAST")
    numbers = [number(word, "number") for word in words]
    first = numbers[0] if len(numbers) > 1 else 1
    step = numbers[1] if len(numbers) == 3 else 1
    last = numbers[-1]
    if step == 0:
        raise UsageError("step is zero")
    counted = range(first, last + (1 if step > 0 else -1), step)
    for start in range(0, len(counted), 2048):
        await process.print("".join(f"{each}\n" for each in counted[start : start + 2048]))
    return 0


async def yes(process: Process) -> int:
    """The same line until nobody reads."""
    line = encode(" ".join(process.argv[1:]) or "y") + b"\n"
    block = line * max(1, CHUNK // len(line))
    while True:
        await process.stdout.write(block)


async def stty(process: Process) -> int:
    """Usage: `stty size, stty -a`."""
    terminal = process.terminal
    if terminal is None or not process.stdin.is_terminal:
        return await process.complain("standard input: Inappropriate ioctl for device")
    if "size" in process.argv[1:]:
        await process.print(f"{terminal.rows} {terminal.columns}\n")
    elif process.argv[1:] in ([], ["-a"]):
        await process.print(
            f"speed 38400 baud; rows {terminal.rows}; columns {terminal.columns};\n"
        )
    return 0


async def tty(process: Process) -> int:
    """The terminal's name."""
    is_terminal = process.stdin.is_terminal
    await process.print("/dev/pts/0\n" if is_terminal else "not a tty\n")
    return int(not is_terminal)


async def test(process: Process) -> int:
    """Usage: `test expression, [ expression ]`."""
    words = process.argv[1:]
    if process.name == "[":
        if words[-1:] != ["]"]:
            return await process.complain("missing ]", 2)
        words = words[:-1]
    try:
        return int(not _either(process, words))
    except UsageError as error:
        return await process.complain(str(error), 2)


def _either(process: Process, words: list[str]) -> bool:
    for joint, combine in (("-o", any), ("-a", all)):
        if joint in words[1:-1] and len(words) > 3:
            at = words.index(joint, 1)
            return combine((_either(process, words[:at]), _either(process, words[at + 1 :])))
    match words:
        case []:
            return False
        case ["!", *rest] if len(rest) != 2 or rest[0].startswith("-"):
            return not _either(process, rest)
        case [text]:
            return bool(text)
        case [operator, operand]:
            return _unary(process, operator, operand)
        case [left, operator, right]:
            return _binary(left, operator, right)
        case _:
            raise UsageError("too many arguments")


def _unary(process: Process, operator: str, operand: str) -> bool:
    if operator in {"-n", "-z"}:
        return bool(operand) == (operator == "-n")
    if operator == "-t":
        terminals = {
            "0": process.stdin.is_terminal,
            "1": process.stdout.is_terminal,
            "2": process.stderr.is_terminal,
        }
        return terminals.get(operand, False)
    if operator not in {"-e", "-f", "-d", "-s", "-r", "-w", "-x", "-L", "-h"}:
        raise UsageError(f"{operator}: unknown operand")
    try:
        node = process.files.find(operand, process.directory, follow=operator not in {"-L", "-h"})
    except OSError:
        return False
    kinds = {"-f": File, "-d": Folder, "-L": Link, "-h": Link}
    if operator in kinds:
        return isinstance(node, kinds[operator])
    if operator == "-s":
        return not isinstance(node, File) or bool(node.data)
    return operator != "-x" or bool(node.mode & 0o111)


def _binary(left: str, operator: str, right: str) -> bool:
    if operator in {"=", "==", "!="}:
        return (left == right) == (operator != "!=")
    compare = {"-eq": "==", "-ne": "!=", "-lt": "<", "-le": "<=", "-gt": ">", "-ge": ">="}
    if operator not in compare:
        raise UsageError(f"{operator}: unknown operand")
    one, two = number(left, "number"), number(right, "number")
    return {
        "==": one == two, "!=": one != two, "<": one < two,
        "<=": one <= two, ">": one > two, ">=": one >= two,
    }[compare[operator]]  # fmt: skip


async def ps(process: Process) -> int:
    """The processes, as far as a pod shows them."""
    await process.print(
        "PID   USER     TIME  COMMAND\n    1 root      0:00 sh\n    7 root      0:00 ps\n"
    )
    return 0
