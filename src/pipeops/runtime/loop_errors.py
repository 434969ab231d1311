"""What the event loop could not hand to anybody: one record for each bug, none for a connection that merely broke."""

import asyncio
from functools import partial
from typing import Any

from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

# uvloop's TLS says so, as a RuntimeError, when a protocol aborts its connection from inside a read: all is well then.
_CLOSED = "the handler is closed"


def report_loop_errors(
    loop: asyncio.AbstractEventLoop, *, of_peers: tuple[type[Exception], ...] = ()
) -> None:
    """Log unhandled errors of callbacks and transports as ours, instead of asyncio's own way.

    A transport that reports a broken connection (OSError, TLS errors are such) has told its protocol already,
    which says it in words; the libraries' lines beside that would only hide them. Errors `of_peers` are no bugs
    either: one line, without a traceback.
    """
    loop.set_exception_handler(partial(_report, of_peers))


def _report(
    of_peers: tuple[type[Exception], ...],
    _loop: asyncio.AbstractEventLoop,
    context: dict[str, Any],
) -> None:
    error = context.get("exception")
    # A TLS library hands the class over where there is no instance.
    kind = error if isinstance(error, type) else type(error)
    if "transport" in context and (issubclass(kind, OSError) or _CLOSED in str(error)):
        return
    if isinstance(error, of_peers):
        log.warning("a peer broke the rules", error=str(error))
        return
    log.error(
        "unhandled error in the event loop",
        error=str(error or context.get("message", "")),
        where=str(context.get("message", "")),
        exc_info=error if isinstance(error, BaseException) else None,
    )
