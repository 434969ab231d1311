"""DnsHook: a program of the operator's that puts a TXT record into DNS and takes it out again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from pipeops.control.certificates.acme_errors import AcmeError, printable
from pipeops.runtime.logs import get_logger
from pipeops.runtime.redaction import redact_text

log = get_logger(__name__)

TIMEOUT: Final = 120.0  # seconds for one run; some DNS providers take a minute
REMOVE_TIMEOUT: Final = 20.0  # a stop has to wait for it
_MAX_OUTPUT: Final = 64 * 1024
_SHOWN: Final = 300
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
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                action,
                name,
                value,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise AcmeError(
                f"the DNS hook {self._program} cannot be run: {error.strerror}"
            ) from error
        try:
            async with asyncio.timeout(limit):
                said = await _read(process.stdout)
                code = await process.wait()
        except TimeoutError as error:
            raise AcmeError(
                f"the DNS hook {self._program} {action} did not finish within {limit:g} s"
            ) from error
        finally:
            # Whatever it started goes with it, also when we are cancelled.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if code != 0:
            shown = printable(redact_text(said.decode(errors="replace"), 4096), _SHOWN)
            raise AcmeError(
                f"the DNS hook {self._program} {action} ended with code {code}: {shown or 'it said nothing'}"
            )


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Read to the end; of a talkative program the beginning is kept."""
    kept = bytearray()
    while stream is not None and (data := await stream.read(65536)):
        kept += data[: _MAX_OUTPUT - len(kept)]
    return bytes(kept)
