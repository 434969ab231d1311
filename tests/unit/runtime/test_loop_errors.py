"""Unhandled errors of the loop are one record; broken connections are none."""

import asyncio

import pytest
from structlog.testing import capture_logs

from pipeops.runtime.loop_errors import report_loop_errors


class FakeLoop:
    """Keeps the handler."""

    def set_exception_handler(self, handler):
        self.handler = handler


@pytest.fixture
def report():
    loop = FakeLoop()
    report_loop_errors(loop)
    return lambda **context: loop.handler(loop, context)


CLOSED = RuntimeError(
    "unable to perform operation on <TCPTransport closed=True>; the handler is closed"
)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), ConnectionResetError, TimeoutError(), CLOSED]
)
def test_a_broken_connection_is_left_to_its_protocol(report, error):
    with capture_logs() as records:
        report(message="SSL handshake failed", exception=error, transport=object())
    assert records == []


def test_another_runtime_error_of_a_transport_is_a_bug(report):
    with capture_logs() as records:
        report(message="Fatal error", exception=RuntimeError("x"), transport=object())
    assert records[0]["log_level"] == "error"


def test_a_bug_in_a_callback_is_reported_with_its_traceback(report):
    error = KeyError("x")
    with capture_logs() as records:
        report(message="Exception in callback", exception=error, handle=asyncio.Handle)
    assert records[0]["log_level"] == "error"
    assert records[0]["exc_info"] is error
    assert records[0]["where"] == "Exception in callback"


def test_an_error_of_a_peer_is_one_line():
    loop = FakeLoop()
    report_loop_errors(loop, of_peers=(LookupError,))
    with capture_logs() as records:
        loop.handler(
            loop, {"message": "Future exception was never retrieved", "exception": KeyError("x")}
        )
    assert records == [
        {
            "log_level": "warning",
            "event": "a peer broke the rules",
            "error": "'x'",
            "component": "runtime.loop_errors",
        }
    ]


def test_an_error_without_an_exception_is_reported_too(report):
    with capture_logs() as records:
        report(message="Task was destroyed but it is pending!")
    assert records[0]["error"] == "Task was destroyed but it is pending!"
