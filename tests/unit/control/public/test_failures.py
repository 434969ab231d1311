"""Failures on public listeners: a page for the visitor, the reason for the log."""

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext
from pipeops.control.public.failures import public_failure
from pipeops.control.public.trouble import Trouble
from pipeops.http1.head import read_block
from pipeops.protocol.exchange.status import Hop

SECRET = "web.apps:80 refused the connection"


def test_what_is_inside_a_cluster_stays_out_of_the_answer() -> None:
    request = ClientRequest(b"GET", b"/", 1, read_block(b"Host: a\r\n"), 0, b"0" * 32, "-")
    context = request.context = RequestContext("a", trouble=Trouble.NO_ENDPOINTS)
    code, head, body = public_failure(
        request, 502, SECRET, Hop.SERVICE, request_id="r1", retry_after=0, close=False
    )
    assert code == 503
    assert SECRET.encode() not in head + body
    assert b"not running" in body
    assert context.reason == f"service: {SECRET}"


def test_a_head_that_could_not_be_read_is_answered_by_its_status() -> None:
    code, head, _ = public_failure(
        None, 431, "too large", Hop.CLIENT, request_id="r1", retry_after=0, close=True
    )
    assert code == 431
    assert b"Connection: close" in head
