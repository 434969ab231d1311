"""The log's tail is bounded, as JSON, and safe to feed from any thread."""

import asyncio
import json
import threading
from typing import Any

from pipeops.agent.local_api.log_tail import KEPT, KEPT_BYTES, MAX_RECORD, LogTail, level_number


def record(**more: Any) -> dict[str, Any]:
    return {"time": "2026-01-01T00:00:00Z", "level": "warning", "msg": "hello", **more}


async def test_a_record_becomes_message_level_time_and_fields() -> None:
    tail = LogTail(asyncio.get_running_loop())
    tail.tap(record(lane=1))
    (line,) = tail.recent()
    assert json.loads(line.json) == {
        "level": "warning", "message": "hello", "timestamp": "2026-01-01T00:00:00Z", "fields": {"lane": 1},
    }  # fmt: skip
    assert line.level == level_number("WARN")


async def test_it_is_bounded_in_lines_and_bytes() -> None:
    tail = LogTail(asyncio.get_running_loop())
    for _ in range(KEPT + 10):
        tail.tap(record())
    assert len(tail.recent()) == KEPT
    for _ in range(200):
        tail.tap(record(big="x" * 5000))
    assert sum(len(line.json) for line in tail.recent()) <= KEPT_BYTES


async def test_a_huge_record_loses_its_fields() -> None:
    tail = LogTail(asyncio.get_running_loop())
    tail.tap(record(big="x" * MAX_RECORD))
    assert b"see the log itself" in tail.recent()[0].json


async def test_records_of_other_threads_arrive_by_the_loop() -> None:
    tail = LogTail(asyncio.get_running_loop())
    thread = threading.Thread(target=tail.tap, args=(record(),))
    thread.start()
    thread.join()
    assert not tail.recent()
    await asyncio.sleep(0)
    assert len(tail.recent()) == 1


def test_unknown_levels_have_no_number() -> None:
    assert level_number("loud") is None
