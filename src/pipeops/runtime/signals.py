"""SIGTERM and SIGINT as one shutdown event."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeops.runtime.logs import get_logger

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
