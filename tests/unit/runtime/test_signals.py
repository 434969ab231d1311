import asyncio
import signal

from pipeops.runtime.signals import shutdown_event


async def test_first_signal_sets_the_event_second_forces_exit():
    codes: list[int] = []
    with shutdown_event(codes.append) as stop:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.01)
        assert stop.is_set()
        assert codes == []
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.01)
        assert codes == [130]


async def test_handlers_are_removed_afterwards():
    with shutdown_event():
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
