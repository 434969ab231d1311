import asyncio
import signal

from pipeops.runtime.signals import shutdown_event


async def test_first_signal_sets_the_event_second_forces_exit():
    codes: asyncio.Queue[int] = asyncio.Queue()
    with shutdown_event(codes.put_nowait) as stop:
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
        assert codes.empty()
        signal.raise_signal(signal.SIGINT)
        assert await codes.get() == 130


async def test_handlers_are_removed_afterwards():
    with shutdown_event():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
