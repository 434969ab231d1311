import asyncio

import pytest

from pipeops.runtime.tasks import (
    OnError,
    ScopeClosedError,
    TaskScope,
    TooManyTasksError,
    log_failure,
    raise_if_cancelled,
)


async def fail(error: Exception):
    raise error


async def forever(seen: list[str] | None = None):
    try:
        await asyncio.Event().wait()
    finally:
        if seen is not None:
            seen.append("ended")


async def run(scope: TaskScope, *coros):
    async with scope:
        for number, coro in enumerate(coros):
            scope.spawn(coro, name=str(number))
        await asyncio.Event().wait()


async def test_leaving_the_scope_cancels_and_awaits():
    seen: list[str] = []
    async with TaskScope("s") as scope:
        task = scope.spawn(forever(seen), name="t")
        await asyncio.sleep(0)
        assert scope.live == 1
    assert seen == ["ended"]
    assert task.cancelled()
    assert task.get_name() == "s/t"


async def test_isolated_failure_is_reported_and_others_go_on():
    reports = []
    async with TaskScope(
        "s", on_error=OnError.ISOLATE, report=lambda name, error: reports.append((name, error))
    ) as scope:
        other = scope.spawn(forever(), name="other")
        error = ValueError("x")
        await scope.spawn(fail(error), name="bad")
        assert not other.done()
    assert reports == [("s/bad", error)]


async def test_failure_cancels_the_scope_and_comes_out_as_itself():
    reports = []
    scope = TaskScope("s", report=lambda name, _: reports.append(name))
    with pytest.raises(ValueError, match="x"):
        await run(scope, forever(), fail(ValueError("x")))
    assert reports == ["s/1"]
    assert scope.live == 0


async def test_several_failures_come_out_as_a_group():
    scope = TaskScope("s", report=lambda *_: None)
    with pytest.raises(ExceptionGroup) as caught:
        await run(scope, fail(ValueError("x")), fail(KeyError("y")))
    assert {type(error) for error in caught.value.exceptions} == {ValueError, KeyError}


async def test_the_blocks_own_error_comes_out_as_itself():
    async def broken():
        async with TaskScope("s") as scope:
            scope.spawn(forever(), name="t")
            raise KeyError("mine")

    with pytest.raises(KeyError):
        await broken()


async def test_cancelling_one_task_leaves_the_rest():
    async with TaskScope("s") as scope:
        one = scope.spawn(forever(), name="1")
        two = scope.spawn(forever(), name="2")
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert one.cancelled()
        assert not two.done()
        assert scope.live == 1


async def test_cancel_all_keeps_the_scope_usable():
    async with TaskScope("s") as scope:
        scope.spawn(forever(), name="1")
        scope.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert scope.live == 0
        await scope.spawn(asyncio.sleep(0), name="2")


async def test_number_of_tasks_is_bounded():
    async with TaskScope("s", limit=2) as scope:
        scope.spawn(forever(), name="1")
        scope.spawn(forever(), name="2")
        with pytest.raises(TooManyTasksError, match="2 tasks"):
            scope.spawn(forever(), name="3")


async def test_spawn_needs_an_open_scope():
    scope = TaskScope("s")
    with pytest.raises(ScopeClosedError):
        scope.spawn(forever(), name="early")
    async with scope:
        pass
    with pytest.raises(ScopeClosedError):
        scope.spawn(forever(), name="late")


async def test_a_task_cancelled_before_its_first_step_leaves_no_warning():
    async with TaskScope("s") as scope:
        scope.spawn(forever(), name="never ran")


async def test_outer_cancellation_ends_the_tasks():
    seen: list[str] = []

    async def outer():
        async with TaskScope("s") as scope:
            scope.spawn(forever(seen), name="t")
            await asyncio.Event().wait()

    task = asyncio.create_task(outer())
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["ended"]


def test_default_report_logs(capsys):
    log_failure("s/t", ValueError("x"))
    assert "task failed" in capsys.readouterr().out


async def test_a_swallowed_cancellation_is_raised_again() -> None:
    async def swallow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise_if_cancelled()

    raise_if_cancelled()  # nobody cancelled this one
    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
