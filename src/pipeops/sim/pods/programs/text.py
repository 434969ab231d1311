"""cat, head, tail, wc, grep, tee, sort, uniq, checksums: programs on bytes and lines."""

import base64 as codec
import hashlib
import re
from collections import deque
from collections.abc import AsyncIterator

from pipeops.sim.pods.process import Process, decode, encode, lines
from pipeops.sim.pods.programs.options import UsageError, number, options
from pipeops.sim.streaming.pipes import Sink, Source

MAX_KEPT = 8 << 20
"""What tail and sort keep in memory."""


async def _inputs(process: Process, names: list[str]) -> AsyncIterator[tuple[str, Source | None]]:
    """Each input with its name; None where it cannot be opened, which stderr was told."""
    for name in names or ["-"]:
        try:
            yield name, process.open(name)
        except OSError as error:
            await process.failed(error, name)
            yield name, None


async def cat(process: Process) -> int:
    """Usage: `cat file…`."""
    asked, names = options(process, "unetvA")
    status, count = 0, 0
    async for _, source in _inputs(process, names):
        if source is None:
            status = 1
        elif "-n" in asked:
            async for line in lines(source):
                count += 1
                await process.stdout.write(b"%6d\t" % count + line)
        else:
            while data := await source.read():
                await process.stdout.write(data)
    return status


def _old_style(process: Process) -> None:
    """`head -5` means `head -n 5`."""
    for at, word in enumerate(process.argv[1:], 1):
        if re.fullmatch(r"-\d+", word):
            process.argv[at : at + 1] = ["-n", word[1:]]
            return


async def head(process: Process) -> int:
    """Usage: `head [-n lines] [-c bytes] file…`."""
    _old_style(process)
    asked, names = options(process, "n:c:qv", ("lines=", "bytes="))
    size = asked.get("-c", asked.get("--bytes"))
    count = number(asked.get("-n", asked.get("--lines", "10")), "number of lines")
    status = 0
    async for name, source in _inputs(process, names):
        if source is None:
            status = 1
            continue
        if len(names) > 1 and "-q" not in asked:
            await process.print(f"==> {name} <==\n")
        if size is not None:
            await _head_bytes(process, source, number(size, "number of bytes"))
        elif count > 0:
            left = count
            async for line in lines(source):
                await process.stdout.write(line)
                left -= 1
                if not left:
                    break
    return status


async def _head_bytes(process: Process, source: Source, left: int) -> None:
    while left > 0 and (data := await source.read(min(left, 1 << 15))):
        await process.stdout.write(data)
        left -= len(data)


async def tail(process: Process) -> int:
    """Usage: `tail [-n [+]lines] [-c [+]bytes] file…`; of -f, which has no end, only the first part."""
    _old_style(process)
    asked, names = options(process, "n:c:fq", ("lines=", "bytes="))
    size = asked.get("-c", asked.get("--bytes"))
    count = asked.get("-n", asked.get("--lines", "10"))
    status = 0
    async for _, source in _inputs(process, names):
        if source is None:
            status = 1
        elif size is not None:
            await _tail_bytes(process, source, size)
        else:
            await _tail_lines(process, source, count)
    return status


async def _tail_bytes(process: Process, source: Source, text: str) -> None:
    size = number(text, "number of bytes")
    if text.startswith("+"):
        skip = max(0, size - 1)
        while data := await source.read():
            await process.stdout.write(data[skip:])
            skip = max(0, skip - len(data))
        return
    kept = bytearray()
    size = min(abs(size), MAX_KEPT)
    while data := await source.read():
        kept += data
        del kept[: max(0, len(kept) - size)]
    await process.stdout.write(bytes(kept))


async def _tail_lines(process: Process, source: Source, text: str) -> None:
    count = number(text, "number of lines")
    if text.startswith("+"):
        skip = max(0, count - 1)
        async for line in lines(source):
            if skip:
                skip -= 1
            else:
                await process.stdout.write(line)
        return
    kept: deque[bytes] = deque()
    size = 0
    async for line in lines(source):
        kept.append(line)
        size += len(line)
        while len(kept) > abs(count) or size > MAX_KEPT:
            size -= len(kept.popleft())
    await process.stdout.write(b"".join(kept))


async def wc(process: Process) -> int:
    """Usage: `wc [-l] [-w] [-c] file…`."""
    asked, names = options(process, "lwcm")
    wanted = [each for each in ("-l", "-w", "-c") if not asked or each in asked]
    status = 0
    totals = {"-l": 0, "-w": 0, "-c": 0}
    async for name, source in _inputs(process, names):
        if source is None:
            status = 1
            continue
        counts = await _count(source)
        for each, value in counts.items():
            totals[each] += value
        await process.print(_counted(counts, wanted, name if names else ""))
    if len(names) > 1:
        await process.print(_counted(totals, wanted, "total"))
    return status


async def _count(source: Source) -> dict[str, int]:
    counts = {"-l": 0, "-w": 0, "-c": 0}
    inside = False
    while data := await source.read():
        counts["-l"] += data.count(b"\n")
        counts["-c"] += len(data)
        words = len(data.split())
        counts["-w"] += words - (inside and not data[:1].isspace() and words > 0)
        inside = not data[-1:].isspace()
    return counts


def _counted(counts: dict[str, int], wanted: list[str], name: str) -> str:
    if len(wanted) == 1:
        return f"{counts[wanted[0]]} {name}".rstrip() + "\n"
    numbers = "".join(f"{counts[each]:8}" for each in wanted)
    return f"{numbers} {name}".rstrip() + "\n"


async def grep(process: Process) -> int:
    """Usage: `grep [-vinclqoEFw] pattern file…`."""
    asked, rest = options(process, "vincqlhHoEFwe:m:s")
    if "-e" not in asked and not rest:
        return await process.complain("usage: grep [-vincqloEFw] PATTERN [FILE]...", 2)
    text = asked.get("-e") or rest.pop(0)
    pattern = _pattern(text, asked, process.name)
    status, errors = 1, False
    async for name, source in _inputs(process, rest):
        if source is None:
            errors = True
            continue
        prefix = f"{name}:" if len(rest) > 1 and "-h" not in asked else ""
        if await _grep_one(process, source, pattern, asked, (name, prefix)):
            status = 0
            if "-q" in asked:
                return 0
    return 2 if errors else status


def _pattern(text: str, asked: dict[str, str], program: str) -> re.Pattern[bytes]:
    if len(text) > 1000:
        raise UsageError("pattern too long")
    if "-F" in asked or program == "fgrep":
        text = re.escape(text)
    elif "-E" not in asked and program != "egrep":
        # In basic expressions the plain characters are ordinary, and the escaped ones special.
        text = re.sub(r"\\([+?|(){}])|([+?|(){}])", lambda m: m[1] or "\\" + m[2], text)
    text = text.replace("[[:space:]]", r"\s").replace("[[:digit:]]", r"\d")
    if "-w" in asked:
        text = rf"\b(?:{text})\b"
    try:
        return re.compile(encode(text), re.IGNORECASE if "-i" in asked else 0)
    except re.error as error:
        raise UsageError(f"bad regex '{text}': {error}") from error


async def _grep_one(
    process: Process,
    source: Source,
    pattern: re.Pattern[bytes],
    asked: dict[str, str],
    names: tuple[str, str],
) -> bool:
    name, prefix = names
    limit = number(asked.get("-m", "0"), "number")
    count = at = 0
    async for line in lines(source):
        at += 1
        bare = line.rstrip(b"\n")
        match = pattern.search(bare)
        if (match is None) != ("-v" in asked):
            continue
        count += 1
        if "-q" in asked or "-l" in asked:
            break
        if "-c" not in asked:
            shown = [found[0] for found in pattern.finditer(bare)] if "-o" in asked else [bare]
            head = encode(prefix + (f"{at}:" if "-n" in asked else ""))
            await process.stdout.write(b"".join(head + each + b"\n" for each in shown))
        if count == limit:
            break
    if "-c" in asked:
        await process.print(f"{prefix}{count}\n")
    elif "-l" in asked and count:
        await process.print(f"{name}\n")
    return count > 0


async def tee(process: Process) -> int:
    """Usage: `tee [-a] file…`."""
    asked, names = options(process, "ai")
    outputs: list[Sink] = [process.stdout]
    status = 0
    for name in names:
        try:
            outputs.append(process.create(name, append="-a" in asked))
        except OSError as error:
            status = await process.failed(error, name)
    while data := await process.stdin.read():
        for output in outputs:
            await output.write(data)
    return status


async def sort(process: Process) -> int:
    """Usage: `sort [-r] [-n] [-u] file…`."""
    asked, names = options(process, "rnuk:t:")
    kept: list[str] = []
    size = 0
    async for _, source in _inputs(process, names):
        if source is None:
            return 2
        async for line in lines(source):
            kept.append(decode(line.rstrip(b"\n")))
            size += len(line)
            if size > MAX_KEPT:
                raise UsageError("input too large for the simulated pod")

    def key(line: str) -> tuple[float, str]:
        match = re.match(r"\s*(-?\d+(\.\d+)?)", line) if "-n" in asked else None
        return float(match[1]) if match else 0.0, line

    kept.sort(key=key, reverse="-r" in asked)
    unique = list(dict.fromkeys(kept)) if "-u" in asked else kept
    await process.print("".join(line + "\n" for line in unique))
    return 0


async def uniq(process: Process) -> int:
    """Usage: `uniq [-c] [file]`."""
    asked, names = options(process, "cd")
    previous: bytes | None = None
    count = 0

    async def show() -> None:
        if previous is not None:
            await process.stdout.write((b"%7d " % count if "-c" in asked else b"") + previous)

    async for _, source in _inputs(process, names[:1]):
        if source is None:
            return 1
        async for line in lines(source):
            if line != previous:
                await show()
                previous, count = line, 0
            count += 1
    await show()
    return 0


async def checksum(process: Process) -> int:
    """Usage: `sha256sum, sha1sum, md5sum file…`."""
    _, names = options(process, "b")
    kind = process.name.removesuffix("sum")
    status = 0
    async for name, source in _inputs(process, names):
        if source is None:
            status = 1
            continue
        digest = hashlib.new(kind, usedforsecurity=False)
        while data := await source.read():
            digest.update(data)
        await process.print(f"{digest.hexdigest()}  {name}\n")
    return status


async def base64(process: Process) -> int:
    """Usage: `base64 [-d] [file]`."""
    asked, names = options(process, "dw:")
    async for _, source in _inputs(process, names[:1]):
        if source is None:
            return 1
        kept = bytearray()
        while data := await source.read():
            kept += data
            if len(kept) > MAX_KEPT:
                raise UsageError("input too large for the simulated pod")
        try:
            whole = codec.b64decode(bytes(kept)) if "-d" in asked else _wrapped(bytes(kept))
        except ValueError as error:
            raise UsageError("invalid input") from error
        await process.stdout.write(whole)
    return 0


def _wrapped(data: bytes) -> bytes:
    text = codec.b64encode(data)
    return b"".join(text[at : at + 76] + b"\n" for at in range(0, len(text), 76))
