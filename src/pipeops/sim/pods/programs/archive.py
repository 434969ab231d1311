"""tar as `kubectl cp` calls it: archives to and from streams, in pieces."""

import errno
import posixpath
import tarfile

from pipeops.sim.pods.files import File, Folder, Link, Node, walk
from pipeops.sim.pods.process import Process, decode
from pipeops.sim.pods.programs.options import UsageError
from pipeops.sim.streaming.pipes import Sink, Source

BLOCK = 512
CHUNK = 1 << 15
MAX_EXTRA = 1 << 16
"""Longest PAX or long-name record that is taken."""
VALUED = "fC"
MEMBER_TYPES = {File: tarfile.REGTYPE, Folder: tarfile.DIRTYPE, Link: tarfile.SYMTYPE}


async def tar(process: Process) -> int:
    """Usage: `tar c|x|t[vmzf] archive [-C folder] path…`; of compression there is none."""
    letters, values, paths = _arguments(process.argv[1:])
    if "z" in letters or "j" in letters:
        raise UsageError("compression is not there in the simulated pod")
    folder = process.files.absolute(values.get("C", "."), process.directory)
    try:
        process.files.folder(folder)
        archive = values.get("f", "-")
        if "c" in letters:
            sink = process.stdout if archive == "-" else process.create(archive)
            return await _create(process, sink, folder, paths)
        if "x" in letters or "t" in letters:
            source = process.open(archive)
            return await _Reader(process, source, folder, letters).run()
    except OSError as error:
        return await process.failed(error, error.filename or values.get("C", ""), 2)
    raise UsageError("must specify one of -c, -x, -t")


def _arguments(words: list[str]) -> tuple[set[str], dict[str, str], list[str]]:
    letters: set[str] = set()
    values: dict[str, str] = {}
    paths: list[str] = []
    words = list(words)
    first = True
    while words:
        word = words.pop(0)
        if word == "--":
            paths += words
            break
        if word.startswith("--"):
            if word.startswith("--directory="):
                values["C"] = word.partition("=")[2]
        elif (word.startswith("-") and len(word) > 1) or first:
            for letter in word.lstrip("-"):
                letters.add(letter)
                if letter in VALUED:
                    if not words:
                        raise UsageError(f"option requires an argument -- '{letter}'")
                    values[letter] = words.pop(0)
        else:
            paths.append(word)
        first = False
    return letters, values, paths


async def _create(process: Process, sink: Sink, folder: str, paths: list[str]) -> int:
    if not paths:
        raise UsageError("Cowardly refusing to create an empty archive")
    status = 0
    for path in paths:
        try:
            node = process.files.find(path, folder, follow=False)
        except OSError as error:
            text = f"{path}: Cannot stat: {error.strerror}"
            status = await process.complain(text, 2)
            continue
        if path.startswith("/"):
            await process.complain("Removing leading `/' from member names")
        for name, found in list(walk(posixpath.normpath(path).lstrip("/") or ".", node)):
            await _member(sink, name, found)
    await sink.write(bytes(2 * BLOCK))
    if status:
        await process.complain("Exiting with failure status due to previous errors")
    return status


async def _member(sink: Sink, name: str, node: Node) -> None:
    kind = MEMBER_TYPES.get(type(node))
    if kind is None:
        return
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, node.mode, int(node.modified)
    info.uname = info.gname = "root"
    if isinstance(node, Link):
        info.linkname = node.target
    data = bytes(node.data) if isinstance(node, File) else b""
    info.size = len(data)
    await sink.write(info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
    for at in range(0, len(data), CHUNK):
        await sink.write(data[at : at + CHUNK])
    if len(data) % BLOCK:
        await sink.write(bytes(BLOCK - len(data) % BLOCK))


class _Reader:
    """Extracts or lists an archive as it arrives."""

    def __init__(self, process: Process, source: Source, folder: str, letters: set[str]) -> None:
        self._process = process
        self._source = source
        self._folder = folder
        self._extract = "x" in letters
        self._show = "t" in letters or "v" in letters
        self._keep_time = "m" not in letters
        self._overrides: dict[str, str] = {}
        self._buffer = bytearray()

    async def run(self) -> int:
        while True:
            block = await self._exactly(BLOCK)
            if not block.strip(b"\0"):
                break  # the archive's end, or of the stream
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.HeaderError:
                return await self._process.complain("This does not look like a tar archive", 2)
            if info.type in {tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}:
                await self._extra(info)
            elif info.type == tarfile.XGLTYPE:
                await self._skip(info.size)
            else:
                await self._take(info)
        while await self._source.read():  # the writer must not find its pipe closed
            pass
        return 0

    async def _take(self, info: tarfile.TarInfo) -> None:
        name = self._overrides.get("path", info.name)
        target = self._overrides.get("linkpath", info.linkname)
        size = int(self._overrides.get("size", info.size))
        self._overrides.clear()
        if self._show:
            await self._process.print(f"{name}{'/' * info.isdir()}\n")
        if not self._extract:
            await self._skip(size)
            return
        # Rooted and normalised: a member can name nothing outside the folder.
        path = self._folder.rstrip("/") + posixpath.normpath("/" + name.lstrip("/"))
        files = self._process.files
        if info.isdir():
            files.make_folder(path, parents=True)
        elif info.issym():
            if files.exists(path):
                files.remove(path)
            files.make_folder(posixpath.dirname(path), parents=True)
            files.make_link(path, "/", target)
        elif info.isreg():
            files.make_folder(posixpath.dirname(path), parents=True)
            await self._file(path, info, size)
        else:
            await self._skip(size)

    async def _file(self, path: str, info: tarfile.TarInfo, size: int) -> None:
        files = self._process.files
        file = files.create(path, mode=info.mode & 0o777)
        left = size
        while left > 0:
            data = await self._some(min(left, CHUNK))
            if not data:
                raise OSError(errno.EIO, "Unexpected EOF in archive", path)
            if isinstance(file, File):
                files.append(file, data)
            left -= len(data)
        await self._skip_padding(size)
        if self._keep_time:
            file.modified = info.mtime

    async def _extra(self, info: tarfile.TarInfo) -> None:
        """A record about the member after it: PAX, or GNU's long names."""
        if not 0 <= info.size <= MAX_EXTRA:
            raise OSError(errno.EFBIG, "extended header too long", info.name)
        data = await self._exactly(info.size)
        await self._skip_padding(info.size)
        if info.type == tarfile.XHDTYPE:
            self._overrides.update(pax_records(data))
        else:
            key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
            self._overrides[key] = decode(data.rstrip(b"\0"))

    async def _skip(self, size: int) -> None:
        left = size
        while left > 0 and (data := await self._some(min(left, CHUNK))):
            left -= len(data)
        await self._skip_padding(size)

    async def _skip_padding(self, size: int) -> None:
        await self._exactly(-size % BLOCK)

    async def _some(self, limit: int) -> bytes:
        if not self._buffer:
            return await self._source.read(limit)
        taken = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return taken

    async def _exactly(self, size: int) -> bytes:
        """`size` bytes, or what is left before the end."""
        taken = bytearray()
        while len(taken) < size and (data := await self._some(size - len(taken))):
            taken += data
        return bytes(taken)


def pax_records(data: bytes) -> dict[str, str]:
    """`length key=value` lines (POSIX.1-2001, pax interchange format); stops at nonsense."""
    found: dict[str, str] = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(data):
            break
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        found[decode(key)] = decode(value)
        data = data[int(length) :]
    return found
