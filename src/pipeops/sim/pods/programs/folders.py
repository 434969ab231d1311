"""ls, mkdir, rm, touch, cp, mv, ln, find, df, chmod: programs on the pod's files."""

import posixpath
from datetime import UTC, datetime

from pipeops.sim.pods.files import Device, File, Folder, Link, Node, walk
from pipeops.sim.pods.process import Process
from pipeops.sim.pods.programs.options import UsageError, options


def mode_text(node: Node) -> str:
    """`drwxr-xr-x`."""
    kinds = {Folder: "d", Link: "l", Device: "c", File: "-"}
    bits = "".join(
        letter if node.mode >> (8 - at) & 1 else "-" for at, letter in enumerate("rwxrwxrwx")
    )
    return kinds[type(node)] + bits


async def ls(process: Process) -> int:
    """Usage: `ls [-l] [-a] [-A] [-1] [-d] path…`."""
    asked, names = options(process, "laAh1dRFn", ("color=",))
    status = 0
    singles: list[tuple[str, Node]] = []
    folders: list[tuple[str, Folder]] = []
    for name in names or ["."]:
        try:
            node = process.files.find(name, process.directory, follow="-l" not in asked)
        except OSError as error:
            status = await process.failed(error, name)
            continue
        if isinstance(node, Folder) and "-d" not in asked:
            folders.append((name, node))
        else:
            singles.append((name, node))
    await _list(process, singles, asked)
    for number, (name, folder) in enumerate(folders):
        if len(names) > 1:
            await process.print(("\n" if number or singles else "") + f"{name}:\n")
        shown = sorted(folder.children.items())
        if "-a" in asked:
            shown = [(".", folder), ("..", folder), *shown]
        elif "-A" not in asked:
            shown = [each for each in shown if not each[0].startswith(".")]
        if "-l" in asked:
            await process.print(f"total {sum(_blocks(node) for _, node in shown)}\n")
        await _list(process, shown, asked)
    return status


def _blocks(node: Node) -> int:
    return -(-len(node.data) // 4096) * 4 if isinstance(node, File) else 0


async def _list(process: Process, shown: list[tuple[str, Node]], asked: dict[str, str]) -> None:
    if "-l" in asked:
        for name, node in shown:
            await process.print(_long(name, node))
    elif process.stdout.is_terminal and "-1" not in asked:
        if shown:
            await process.print("  ".join(name for name, _ in shown) + "\n")
    else:
        await process.print("".join(f"{name}\n" for name, _ in shown))


def _long(name: str, node: Node) -> str:
    size = len(node.data) if isinstance(node, File) else 4096 if isinstance(node, Folder) else 0
    when = datetime.fromtimestamp(node.modified, UTC).strftime("%b %e %H:%M")
    arrow = f" -> {node.target}" if isinstance(node, Link) else ""
    return f"{mode_text(node)}    1 root     root     {size:9} {when} {name}{arrow}\n"


async def mkdir(process: Process) -> int:
    """Usage: `mkdir [-p] path…`."""
    asked, names = options(process, "pm:v")
    if not names:
        raise UsageError("missing operand")
    status = 0
    for name in names:
        try:
            process.files.make_folder(name, process.directory, parents="-p" in asked)
        except OSError as error:
            message = f"can't create directory '{name}': {error.strerror}"
            status = await process.complain(message)
    return status


async def rm(process: Process) -> int:
    """Usage: `rm [-r] [-f] path…`."""
    asked, names = options(process, "rRfv")
    if not names and "-f" not in asked:
        raise UsageError("missing operand")
    status = 0
    for name in names:
        try:
            recursive = "-r" in asked or "-R" in asked
            process.files.remove(name, process.directory, recursive=recursive)
        except FileNotFoundError as error:
            if "-f" not in asked:
                status = await process.complain(f"can't remove '{name}': {error.strerror}")
        except OSError as error:
            status = await process.complain(f"can't remove '{name}': {error.strerror}")
    return status


async def rmdir(process: Process) -> int:
    """Usage: `rmdir path…`."""
    _, names = options(process, "p")
    status = 0
    for name in names:
        try:
            folder = process.files.folder(name, process.directory)
            process.files.remove(name, process.directory, recursive=not folder.children)
        except OSError as error:
            status = await process.failed(error, f"'{name}'")
    return status


async def touch(process: Process) -> int:
    """Usage: `touch file…`."""
    _, names = options(process, "c")
    status = 0
    for name in names:
        try:
            if process.files.exists(name, process.directory):
                process.files.find(name, process.directory).modified = process.files.now()
            else:
                process.files.create(name, process.directory)
        except OSError as error:
            status = await process.failed(error, name)
    return status


async def cp(process: Process) -> int:
    """Usage: `cp [-r] source… target`."""
    asked, names = options(process, "rRapf")
    if len(names) < 2:
        raise UsageError("missing file operand")
    files, here = process.files, process.directory
    *sources, target = names
    into = files.exists(target, here) and isinstance(files.find(target, here), Folder)
    status = 0
    for source in sources:
        name = posixpath.basename(posixpath.normpath(source))
        path = posixpath.join(target, name) if into else target
        try:
            node = files.find(source, here)
            if isinstance(node, Folder) and not asked.keys() & {"-r", "-R", "-a"}:
                status = await process.complain(f"omitting directory '{source}'")
                continue
            _copy(process, node, path)
        except OSError as error:
            status = await process.failed(error, source)
    return status


def _copy(process: Process, node: Node, path: str) -> None:
    files, here = process.files, process.directory
    for below, found in list(walk(path, node)):  # listed first: the target may be inside
        if isinstance(found, Folder):
            files.make_folder(below, here, parents=True)
        elif isinstance(found, Link):
            files.make_link(below, here, found.target)
        elif isinstance(found, File):
            data = bytes(found.data)
            file = files.create(below, here, mode=found.mode)
            if isinstance(file, File):
                files.append(file, data)


async def mv(process: Process) -> int:
    """Usage: `mv source… target`."""
    _, names = options(process, "fn")
    if len(names) < 2:
        raise UsageError("missing file operand")
    status = 0
    for source in names[:-1]:
        try:
            process.files.move(source, names[-1], process.directory)
        except OSError as error:
            status = await process.complain(f"can't rename '{source}': {error.strerror}")
    return status


async def ln(process: Process) -> int:
    """Usage: `ln -s target path`."""
    asked, names = options(process, "sfn")
    if len(names) != 2 or "-s" not in asked:
        raise UsageError("only ln -s TARGET PATH works in the simulated pod")
    try:
        process.files.make_link(names[1], process.directory, names[0])
    except OSError as error:
        return await process.failed(error, names[1])
    return 0


async def chmod(process: Process) -> int:
    """Usage: `chmod octal-or-+x path…`."""
    names = [word for word in process.argv[1:] if not word.startswith("-")]
    if len(names) < 2:
        raise UsageError("missing operand")
    status = 0
    for name in names[1:]:
        try:
            node = process.files.find(name, process.directory)
        except OSError as error:
            status = await process.failed(error, name)
            continue
        if names[0].isdigit() and len(names[0]) <= 4:
            node.mode = int(names[0], 8) & 0o777
        elif "+x" in names[0]:
            node.mode |= 0o111
    return status


async def find(process: Process) -> int:
    """Usage: `find path…`; every path below, without tests."""
    names = [word for word in process.argv[1:] if not word.startswith("-")]
    status = 0
    for name in names or ["."]:
        try:
            for path, _ in walk(name, process.files.find(name, process.directory)):
                await process.print(f"{path}\n")
        except OSError as error:
            status = await process.failed(error, name)
    return status


async def df(process: Process) -> int:
    """The pod's space."""
    quota = process.files.quota
    total, used = quota.limit >> 10, quota.used >> 10
    await process.print(
        "Filesystem           1K-blocks      Used Available Use% Mounted on\n"
        f"overlay              {total:9} {used:9} {total - used:9} {100 * used // total:3}% /\n"
    )
    return 0
