"""Which programs there are, and how one is started."""

import posixpath
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from pipeops.sim.pods.files import File, Folder
from pipeops.sim.pods.interactive import sh
from pipeops.sim.pods.process import SIGPIPE_CODE, Process
from pipeops.sim.pods.programs import archive, basic, folders, text
from pipeops.sim.pods.programs.options import UsageError

Program = Callable[[Process], Awaitable[int]]
FOLDERS = frozenset({"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"})

PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {
        "sh": sh, "bash": sh, "ash": sh, "dash": sh,
        "echo": basic.echo, "printf": basic.printf, "true": basic.true, "false": basic.true,
        "pwd": basic.pwd, "env": basic.env, "printenv": basic.env, "id": basic.identity,
        "whoami": basic.identity, "hostname": basic.hostname, "uname": basic.uname,
        "date": basic.date, "sleep": basic.sleep, "seq": basic.seq, "yes": basic.yes,
        "stty": basic.stty, "tty": basic.tty, "test": basic.test, "[": basic.test, "ps": basic.ps,
        "cat": text.cat, "head": text.head, "tail": text.tail, "wc": text.wc, "grep": text.grep,
        "egrep": text.grep, "fgrep": text.grep, "tee": text.tee, "sort": text.sort,
        "uniq": text.uniq, "sha256sum": text.checksum, "sha1sum": text.checksum,
        "md5sum": text.checksum, "base64": text.base64,
        "ls": folders.ls, "mkdir": folders.mkdir, "rm": folders.rm, "rmdir": folders.rmdir,
        "touch": folders.touch, "cp": folders.cp, "mv": folders.mv, "ln": folders.ln,
        "chmod": folders.chmod, "find": folders.find, "df": folders.df,
        "tar": archive.tar,
    }
)  # fmt: skip


async def run(process: Process) -> int:
    """Run a program to its exit code.

    Raises:
        FileNotFoundError, PermissionError: there is no such program, or it is none.
        ConnectionError: the client that gets the output has gone.
    """
    program = find(process)
    try:
        return await program(process)
    except UsageError as error:
        return await process.complain(str(error))
    except BrokenPipeError:
        return SIGPIPE_CODE
    except ConnectionError:
        raise
    except OSError as error:
        return await process.complain(f"write error: {error.strerror}")


def find(process: Process) -> Program:
    """The program that a process names; scripts among the pod's files run in `sh`."""
    path = process.argv[0]
    folder, name = posixpath.split(path)
    if not folder or folder in FOLDERS:
        if name in PROGRAMS:
            return PROGRAMS[name]
        if not folder:
            raise FileNotFoundError(path)
    node = process.files.find(path, process.directory)
    if isinstance(node, Folder) or not isinstance(node, File) or not node.mode & 0o111:
        raise PermissionError(path)

    async def script(inner: Process) -> int:
        return await sh(inner.with_arguments(["sh", *inner.argv]))

    return script
