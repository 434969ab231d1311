"""A public port: bounds on connections, and who gets them after the handshake."""

import asyncio
import io

from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.connection import PublicConnection
from pipeops.control.public.listener import PublicListener
from pipeops.control.public.router import PublicRouter
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.table import RouteTable
from pipeops.runtime.tasks import TaskScope
from tests.support.transports import RecordingTransport, feed


def listener(max_connections: int = 10) -> PublicListener:
    def nowhere(_route: object) -> None:
        raise AssertionError

    router = PublicRouter(
        RouteTable(),
        nowhere,
        settings=PublicSettings(),
        now=lambda: 0.0,  # type: ignore[arg-type]
    )
    log = PublicAccessLog(
        io.StringIO(), timestamp=lambda: b"t", call_later=lambda *_: None, enabled=False
    )
    return PublicListener(
        router, log, TaskScope("t"), now=lambda: 0.0, max_connections=max_connections
    )


def connect(
    made: PublicListener, **info: object
) -> tuple[asyncio.BaseProtocol, RecordingTransport]:
    transport = RecordingTransport(**info)
    protocol = made._connection()
    protocol.connection_made(transport)
    return getattr(transport, "protocol", protocol), transport


def test_a_client_without_tls_speaks_http_1_1_and_is_told_in_pages() -> None:
    made = listener()
    protocol, transport = connect(made)
    assert isinstance(protocol, PublicConnection)
    feed(protocol, b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
    assert transport.take().startswith(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain")


def test_a_head_that_cannot_be_read_gets_a_page_too() -> None:
    protocol, transport = connect(listener())
    assert isinstance(protocol, PublicConnection)
    feed(protocol, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain")
    assert b"metav1" not in answer
    assert transport.closed


def test_beyond_the_bound_clients_are_told_to_come_back() -> None:
    made = listener(max_connections=1)
    connect(made)
    _, transport = connect(made)
    assert transport.take().startswith(b"HTTP/1.1 503 ")
    assert transport.closed


def test_handshakes_count_and_are_let_go() -> None:
    made = listener(max_connections=1)
    arriving = made._connection()
    _, transport = connect(made)
    assert transport.take().startswith(b"HTTP/1.1 503 ")
    del arriving
    protocol, _ = connect(made)
    assert isinstance(protocol, PublicConnection)
