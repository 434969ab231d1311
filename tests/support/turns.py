"""Let the event loop turn without letting time pass."""

import asyncio


async def turns(count: int = 5) -> None:
    """Give other tasks `count` chances to run."""
    for _ in range(count):
        await asyncio.sleep(0)
