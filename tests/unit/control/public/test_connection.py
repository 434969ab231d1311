"""What a public connection knows beside what the edge's does."""

import io

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.listener import Listener
from pipeops.control.public.connection import PublicConnection
from tests.support.transports import RecordingTransport


class Nowhere:
    """Leaves every request unanswered."""

    def open(self, request: ClientRequest, connection: object) -> None:
        return None


def edge() -> Listener:
    log = AccessLog(
        io.StringIO(), timestamp=lambda: b"t", call_later=lambda *_: None, enabled=False
    )
    return Listener(Nowhere(), log, now=lambda: 0.0)


def test_the_address_that_a_proxy_told_counts() -> None:
    for told, seen in (("192.0.2.1", "192.0.2.1"), ("", "10.0.0.1")):
        connection = PublicConnection(edge(), sni="a.example.com", peer=told)
        connection.connection_made(RecordingTransport(peername=("10.0.0.1", 1)))
        assert connection.peer == seen
        assert (connection.sni, connection.memo) == ("a.example.com", None)
