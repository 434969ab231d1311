"""The life of an upgraded connection: one task reads it, one works, and the first to end ends both."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from pipeops.sim.streaming.pipes import Pipe

LINGER_SECONDS = 1.0
"""How long a finished server waits for the client to close first: a close of ours could overtake
the last bytes in the client's reader."""
STALL_SECONDS = 5.0
"""How long a full input may hold the reader before it checks whether the client is still there."""


class ProtocolError(Exception):
    """The client broke a streaming protocol; its connection ends."""


async def converse(
    pump: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None], linger: float = LINGER_SECONDS
) -> None:
    """Run both until the client is gone (`pump` ends) or all is done (`work` ends).

    The former cancels `work`; the latter leaves the client a short while to close. A client that goes away, or breaks the protocol, is an ordinary end and raises nothing.
    """
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(_until_gone(pump))
        working = group.create_task(_until_gone(work))
        await asyncio.wait([pumping, working], return_when=asyncio.FIRST_COMPLETED)
        if not pumping.done():
            await asyncio.wait([pumping], timeout=linger)
        pumping.cancel()
        working.cancel()


async def _until_gone(part: Coroutine[Any, Any, None]) -> None:
    try:
        await part
    except* (OSError, ProtocolError, asyncio.IncompleteReadError):
        pass


async def deliver(pipe: Pipe, data: bytes, check: Callable[[], Awaitable[None]]) -> None:
    """Put received bytes into a pipe; while it stays full, `check` whether the client still lives.

    A reader that waits for room does not see the client's end, so it has to ask.
    """
    while True:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await pipe.put(data)
            return
        except TimeoutError:
            await check()
