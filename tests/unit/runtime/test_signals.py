import asyncio
import io
import json
import logging
import signal

import pytest
import structlog

from pipeops.runtime import logs
from pipeops.runtime.signals import log_level_signals, shutdown_event, state_report


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


@pytest.fixture
def logged():
    """What is logged meanwhile, as JSON lines."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    written = io.StringIO()
    logs.configure("info", form="json", stream=written)
    yield written
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_sigusr1_logs_what_the_process_holds_in_one_line(logged):
    asked = asyncio.Event()

    def figures():
        asked.set()
        return {"streams": 3}

    with state_report(figures):
        signal.raise_signal(signal.SIGUSR1)
        await asked.wait()
    state = json.loads(logged.getvalue())
    assert (state["msg"], state["streams"], state["tasks"]) == ("state", 3, 1)
    assert state["descriptors"] > 2
    assert state["resident_kib"] > 1000
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def said(logged):
    return [json.loads(line) for line in logged.getvalue().splitlines()]


async def raise_and_wait(number, logged):
    before = len(said(logged))
    signal.raise_signal(number)
    while len(said(logged)) == before:
        await asyncio.sleep(0)


async def test_sigusr2_switches_debug_on_and_off(logged):
    logger = logs.get_logger("x")
    with log_level_signals("info", lambda: None):
        logger.debug("one")
        await raise_and_wait(signal.SIGUSR2, logged)
        logger.debug("two")
        await raise_and_wait(signal.SIGUSR2, logged)
        logger.debug("three")
    assert [record["msg"] for record in said(logged)] == [
        "log level changed",
        "two",
        "log level changed",
    ]
    assert [record.get("to") for record in said(logged)] == ["debug", None, "info"]
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


async def test_sighup_takes_the_configured_level(logged):
    levels = ["debug", "loud"]
    with log_level_signals("info", lambda: levels.pop(0)):
        await raise_and_wait(signal.SIGHUP, logged)
        await raise_and_wait(signal.SIGHUP, logged)
    assert [record["msg"] for record in said(logged)] == [
        "log level changed",
        "unknown log level, nothing changed",
    ]


async def test_sighup_changes_nothing_when_the_configuration_cannot_be_read(logged):
    asked = asyncio.Event()
    with log_level_signals("info", asked.set):
        signal.raise_signal(signal.SIGHUP)
        await asked.wait()
    assert said(logged) == []
