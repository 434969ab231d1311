import asyncio
import random

import pytest

from pipeops.kube.work_queue import QueueClosedError, WorkQueue


def queue(**options) -> WorkQueue[str]:
    return WorkQueue(random.Random(1), **options)


async def test_a_key_is_worked_on_once_however_often_it_is_added() -> None:
    made = queue()
    assert [made.add(key) for key in "aabab"] == [True] * 5
    assert (len(made), await made.get(), await made.get(), len(made)) == (2, "a", "b", 0)


async def test_a_key_added_during_its_work_comes_once_more_and_only_afterwards() -> None:
    made = queue()
    made.add("a")
    assert await made.get() == "a"
    made.add("a")
    made.add("a")
    assert len(made) == 0
    made.done("a")
    assert await made.get() == "a"
    made.done("a")
    assert len(made) == 0


async def test_it_is_bounded_and_tells_that_a_key_was_refused() -> None:
    made = queue(limit=2)
    assert [made.add(key) for key in "abca"] == [True, True, False, True]
    assert made.overflowed
    assert [made.add_after(key, 9) for key in "xyz"] == [True, True, False]
    made.close()


async def test_the_earliest_time_counts() -> None:
    made = queue()
    made.add_after("a", 300)
    made.add_after("a", 0.01)
    made.add_after("a", 200)
    async with asyncio.timeout(2):
        assert await made.get() == "a"
    made.close()


async def test_adding_a_key_now_cancels_its_timer() -> None:
    made = queue()
    made.add_after("a", 0.01)
    made.add("a")
    made.add_after("b", 0.02)
    assert await made.get() == "a"
    made.done("a")
    assert await made.get() == "b"  # the timer of "a" would have been first
    assert len(made) == 0


async def test_failures_wait_ever_longer_up_to_a_bound_until_forgotten() -> None:
    made = queue(per_second=1e9)
    delays = [made.retry("a") for _ in range(20)]
    assert delays[0] <= 0.05
    assert delays[4] > delays[0] * 4
    assert 225 <= delays[-1] <= 300
    made.forget("a")
    assert made.retry("a") <= 0.05
    made.close()


async def test_all_retries_together_keep_to_a_rate() -> None:
    made = queue(per_second=10, burst=5)
    delays = [made.retry(f"key-{number}") for number in range(105)]
    assert max(delays[:5]) <= 0.05
    assert 9.5 <= delays[-1] <= 10.5
    made.close()


async def test_a_cancelled_worker_does_not_take_the_wake_up_with_it() -> None:
    made = queue()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(made.get())
        second = group.create_task(made.get())
        await asyncio.sleep(0)
        made.add("a")
        first.cancel()
        async with asyncio.timeout(2):
            assert await second == "a"


async def test_a_shut_queue_hands_out_what_is_ready_and_then_ends_its_workers() -> None:
    made = queue()
    made.add("a")
    made.close()
    assert not made.add("b")
    assert not made.add_after("b", 1)
    assert await made.get() == "a"
    with pytest.raises(QueueClosedError):
        await made.get()


async def test_shutting_wakes_those_who_wait() -> None:
    made = queue()

    async def wait() -> None:
        with pytest.raises(QueueClosedError):
            await made.get()

    async with asyncio.TaskGroup() as group:
        group.create_task(wait())
        await asyncio.sleep(0)
        made.close()
