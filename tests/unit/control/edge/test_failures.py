"""Failures of the Kubernetes listener: a Status, and plain text for discovery."""

import json

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.edge.failures import kube_failure
from pipeops.http1.head import read_block
from pipeops.protocol.exchange.status import Hop


def _failure(target: bytes | None, code: int) -> tuple[int, bytes, bytes]:
    block = read_block(b"Host: h\r\n")
    request = None
    if target is not None:
        request = ClientRequest(b"GET", target, 1, block, 0, b"0" * 32, "-")
    return kube_failure(
        request, code, "no agent", Hop.AGENT, request_id="r1", retry_after=2, close=True
    )


def test_a_failure_is_a_status_with_the_code() -> None:
    code, head, body = _failure(b"/k8s/a/api/v1/pods", 503)
    assert code == 503
    assert head.startswith(b"HTTP/1.1 503 ")
    assert (b"Retry-After: 2\r\n" in head, b"Connection: close\r\n" in head) == (True, True)
    assert json.loads(body)["code"] == 503


def test_a_failed_discovery_is_plain_text_which_kubectl_shows() -> None:
    code, head, body = _failure(b"/k8s/a/api?timeout=32s", 503)
    assert code == 502
    assert b"text/plain" in head
    assert body.startswith(b"no agent")


def test_a_head_that_could_not_be_read_gets_a_status_too() -> None:
    code, _, body = _failure(None, 431)
    assert (code, json.loads(body)["code"]) == (431, 431)
