"""A pod's shell for the tests of what runs in it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pipeops.sim.pods.files import Files, Quota
from pipeops.sim.pods.process import Process
from pipeops.sim.pods.programs.table import run
from pipeops.sim.streaming.pipes import Pipe

Outcome = tuple[int, bytes, bytes]
LIMIT = 4 << 20


class Shell:
    """Runs scripts in one file system; answers (code, stdout, stderr)."""

    def __init__(self) -> None:
        self.files = Files(lambda: 1_700_000_000.0, Quota(LIMIT))
        for folder in ("/tmp", "/dev", "/root", "/bin"):
            self.files.make_folder(folder)
        for kind in ("null", "zero", "urandom"):
            self.files.add_device(f"/dev/{kind}", kind)

    async def __call__(self, script: str, stdin: bytes = b"", **environment: str) -> Outcome:
        return await self.run(["sh", "-c", script], stdin, **environment)

    async def run(self, argv: list[str], stdin: bytes = b"", **environment: str) -> Outcome:
        """Run a program to its end."""
        source, out, err = Pipe(1 << 24), Pipe(1 << 24), Pipe(1 << 24)
        await source.put(stdin)
        source.finish()
        process = Process(
            argv=argv,
            stdin=source,
            stdout=out,
            stderr=err,
            environment={"HOME": "/root", **environment},
            directory="/",
            files=self.files,
            hostname="pod-1",
            run=run,
        )
        async with asyncio.timeout(20):
            code = await run(process)
        out.finish()
        err.finish()
        return code, await _all(out), await _all(err)


async def _all(pipe: Pipe) -> bytes:
    taken = b""
    while data := await pipe.read(1 << 20):
        taken += data
    return taken


@pytest.fixture
def sh() -> Shell:
    return Shell()


@pytest.fixture
def out(sh: Shell) -> Callable[..., Awaitable[str]]:
    """Only stdout, as text, of a script that must succeed."""

    async def run_script(script: str, stdin: bytes = b"", **environment: str) -> str:
        code, printed, errors = await sh(script, stdin, **environment)
        assert (code, errors) == (0, b"")
        return printed.decode()

    return run_script
