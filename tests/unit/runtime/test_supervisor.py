import asyncio

import pytest

from pipeops.runtime.supervisor import ServiceEndedError, Supervisor


class Recorder:
    def __init__(self, name: str, seen: list[str], *, error: Exception | None = None, ends=False):
        self.name = name
        self.seen = seen
        self.error = error
        self.ends = ends
        self.is_ready = True

    async def run(self, ready):
        self.seen.append(f"start {self.name}")
        try:
            await asyncio.sleep(0)
            if self.is_ready:
                ready()
            if self.error:
                raise self.error
            if self.ends:
                return
            await asyncio.Event().wait()
        finally:
            self.seen.append(f"stop {self.name}")


async def test_starts_in_order_and_stops_in_reverse():
    seen: list[str] = []
    stop = asyncio.Event()
    services = [Recorder(name, seen) for name in "abc"]
    await Supervisor(services).run(stop, started=stop.set)
    assert seen == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


async def test_the_next_service_waits_for_ready():
    seen: list[str] = []
    stop = asyncio.Event()
    first = Recorder("a", seen)
    first.is_ready = False
    async with asyncio.TaskGroup() as group:
        group.create_task(Supervisor([first, Recorder("b", seen)]).run(stop))
        for _ in range(20):
            await asyncio.sleep(0)
        assert seen == ["start a"]
        stop.set()
    assert seen == ["start a", "stop a"]


async def test_a_failure_stops_the_others_and_is_raised():
    seen: list[str] = []
    services = [
        Recorder("a", seen),
        Recorder("b", seen, error=OSError("gone")),
        Recorder("c", seen),
    ]
    with pytest.raises(OSError, match="gone"):
        await Supervisor(services).run(asyncio.Event())
    assert seen[-1] == "stop a"


async def test_a_service_that_ends_by_itself_is_a_failure():
    with pytest.raises(ServiceEndedError, match="b ended by itself"):
        await Supervisor([Recorder("a", []), Recorder("b", [], ends=True)]).run(asyncio.Event())


async def test_cancelling_run_stops_everything():
    seen: list[str] = []
    started = asyncio.Event()
    task = asyncio.create_task(
        Supervisor([Recorder("a", seen)]).run(asyncio.Event(), started=started.set)
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["start a", "stop a"]


async def test_a_service_that_will_not_stop_ends_the_process():
    release = asyncio.Event()
    codes: list[int] = []

    class Stuck:
        name = "stuck"

        async def run(self, ready):
            ready()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

    def force_exit(code):
        codes.append(code)
        release.set()

    stop = asyncio.Event()
    supervisor = Supervisor([Stuck()], stop_timeout=0.01, force_exit=force_exit)
    await supervisor.run(stop, started=stop.set)
    assert codes == [1]
