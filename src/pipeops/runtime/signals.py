"""Signals: SIGTERM and SIGINT stop, SIGUSR1 asks what this process holds, SIGUSR2 and SIGHUP change the log level."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pipeops.runtime.logs import get_logger, set_level
from pipeops.runtime.process import open_descriptors, resident_bytes

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = get_logger(__name__)


@contextmanager
def shutdown_event(force_exit: Callable[[int], object] = os._exit) -> Iterator[asyncio.Event]:
    """Yield an event that the first SIGTERM or SIGINT sets; a second signal ends the process.

    Use it inside a running event loop, from the main thread. `force_exit` gets the shell's code
    for death by that signal (128 + number).
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("second signal: leaving without a clean stop", signal=number.name)
            force_exit(128 + number)
            return
        log.info("stopping on a signal; a second one forces it", signal=number.name)
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def state_report(figures: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """While the block runs, SIGUSR1 writes one log record `state`.

    It has the number of live tasks and open descriptors, the resident memory in KiB, and `figures()`. For
    whoever asks whether a process leaks; use it inside a running event loop, from the main thread.
    """
    loop = asyncio.get_running_loop()

    def report() -> None:
        log.info(
            "state",
            tasks=len(asyncio.all_tasks(loop)),
            descriptors=open_descriptors(),
            resident_kib=resident_bytes() // 1024,
            **figures(),
        )

    loop.add_signal_handler(signal.SIGUSR1, report)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


@contextmanager
def log_level_signals(level: str, reread: Callable[[], str | None]) -> Iterator[None]:
    """While the block runs, SIGUSR2 switches between `level` and debug, SIGHUP sets what `reread` answers.

    `reread` answers the level now configured, or None if the configuration cannot be read; it says why itself.
    """
    loop = asyncio.get_running_loop()
    configured, debugging = level, False

    def toggle() -> None:
        nonlocal debugging
        debugging = not debugging
        change("debug" if debugging else configured)

    def reload() -> None:
        nonlocal configured, debugging
        found = reread()
        if found is not None:
            configured, debugging = found, False
            change(configured)

    def change(wanted: str) -> None:
        if set_level(wanted):
            log.warning("log level changed", to=wanted)
        else:
            log.warning("unknown log level, nothing changed", level_given=wanted)

    handlers = {signal.SIGUSR2: toggle, signal.SIGHUP: reload}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
