"""Lines of the public access log."""

import io
import json
from typing import Any

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.context import RequestContext
from pipeops.control.public.route_state import RouteStates
from pipeops.control.public_settings import PublicSettings
from pipeops.http1.head import read_block
from tests.support.public_gateway import route


def line(request: ClientRequest, *, enabled: bool = True) -> dict[str, Any]:
    stream = io.StringIO()
    log = PublicAccessLog(
        stream, timestamp=lambda: b"now", call_later=lambda *_: None, enabled=enabled
    )
    log.start()
    log.request(request, 200, 5, 1.5, "ok")
    log.stop()
    text = stream.getvalue()
    return json.loads(text) if text else {}  # type: ignore[no-any-return]


def request(target: bytes = b"/x") -> ClientRequest:
    block = read_block(b"Host: a.example.com\r\n")
    return ClientRequest(b"GET", target, 1, block, 0, b"f" * 32, "203.0.113.9", 1.0)


def test_a_line_names_route_cluster_and_what_happened() -> None:
    made = request()
    state = RouteStates(PublicSettings()).of(route("a.example.com"))
    made.context = RequestContext("a.example.com", state, "tunnel", reason='agent: "gone"')
    seen = line(made)
    assert (seen["route"], seen["cluster"], seen["way"]) == ("a.example.com/", "edge", "tunnel")
    assert (seen["request_id"], seen["ms"], seen["outcome"]) == ("f" * 32, 500.0, 'agent: "gone"')


def test_a_request_without_a_route_and_secrets_in_its_query() -> None:
    seen = line(request(b"/x?token=abcdefgh12345678"))
    assert (seen["route"], seen["host"]) == ("", "")
    assert "abcdefgh12345678" not in seen["target"]


def test_switched_off_it_writes_nothing() -> None:
    assert line(request(), enabled=False) == {}
