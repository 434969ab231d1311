"""DnsHook: a program of the operator's that puts a TXT record into DNS and takes it out again."""

import asyncio
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from pipeops.control.certificates.acme_errors import AcmeError, printable
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger
from pipeops.runtime.redaction import redact_text

log = get_logger(__name__)

TIMEOUT: Final = 120.0  # seconds for one run; some DNS providers take a minute
REMOVE_TIMEOUT: Final = 20.0  # a stop has to wait for it
_MAX_OUTPUT: Final = 64 * 1024
_SHOWN: Final = 300
_SLICE: Final = 0.2  # seconds between looks whether it is to stop
_OURS: Final = "PIPEOPS_"


class DnsHook:
    """Runs `program add NAME VALUE` and `program remove NAME VALUE`; exit code 0 means done.

    Name and value are public. What the program needs to reach its DNS provider comes from its own files or from the
    environment; it gets ours without the variables that begin with `PIPEOPS_`, since those may hold our secrets.
    """

    def __init__(
        self,
        program: Path,
        environment: Mapping[str, str],
        *,
        timeout: float = TIMEOUT,
        remove_timeout: float = REMOVE_TIMEOUT,
    ) -> None:
        self._program = program
        self._environment = {
            name: value for name, value in environment.items() if not name.startswith(_OURS)
        }
        self._timeout = timeout
        self._remove_timeout = remove_timeout

    @asynccontextmanager
    async def showing(self, name: str, value: str) -> AsyncIterator[None]:
        """Have a TXT record for the length of the block; it is taken out also when adding it failed half-way.

        Raises:
            AcmeError: the program failed, or took too long.
        """
        try:
            await self._run("add", name, value, self._timeout)
            yield
        finally:
            try:
                await self._run("remove", name, value, self._remove_timeout)
            except AcmeError as error:
                log.warning("DNS record may be left over", name=name, reason=str(error))

    async def _run(self, action: str, name: str, value: str, limit: float) -> None:
        run = _Run([str(self._program), action, name, value], self._environment)
        # In a thread of its own: asyncio leaks a process whose start is cancelled half-way.
        work = asyncio.get_running_loop().run_in_executor(None, run.to_the_end, limit)
        try:
            code, said = await asyncio.shield(work)
        except asyncio.CancelledError:
            run.stop()
            await asyncio.wait([work])
            work.exception()  # whatever it is, nobody waits for it any more
            raise
        except OSError as error:
            raise AcmeError(
                f"the DNS hook {self._program} cannot be run: {error.strerror}"
            ) from error
        if code is None:
            raise AcmeError(
                f"the DNS hook {self._program} {action} did not finish within {limit:g} s"
            )
        if code != 0:
            shown = printable(redact_text(said.decode(errors="replace"), 4096), _SHOWN)
            raise AcmeError(
                f"the DNS hook {self._program} {action} ended with code {code}: {shown or 'it said nothing'}"
            )


class _Run:
    """One run of a program; blocking, stopped from another thread."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._stopped = threading.Event()
        self._clock = Clock()

    def stop(self) -> None:
        """Have it ended within a moment."""
        self._stopped.set()

    def to_the_end(self, limit: float) -> tuple[int | None, bytes]:
        """Run it; returns its exit code (None: it was ended) and the beginning of what it said.

        Raises:
            OSError: it cannot be started.
        """
        deadline = self._clock.monotonic() + limit
        with subprocess.Popen(  # noqa: S603 - the operator's own program
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self._environment),
            start_new_session=True,
        ) as process:
            try:
                return self._follow(process, deadline)
            finally:
                # Whatever it started goes with it.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _follow(
        self, process: subprocess.Popen[bytes], deadline: float
    ) -> tuple[int | None, bytes]:
        kept = bytearray()
        output = process.stdout.fileno() if process.stdout is not None else -1
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not self._stopped.is_set() and self._clock.monotonic() < deadline:
                if not selector.get_map():  # it said all, and is about to end
                    with suppress(subprocess.TimeoutExpired):
                        return process.wait(_SLICE), bytes(kept)
                elif selector.select(_SLICE):
                    data = os.read(output, 65_536)
                    kept += data[: _MAX_OUTPUT - len(kept)]
                    if not data:
                        selector.unregister(output)
        return None, bytes(kept)
