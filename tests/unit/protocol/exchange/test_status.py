"""Failures of the path are metav1.Status, name the hop and carry the request id."""

import json

from pipeops.protocol.exchange.status import (
    MAX_ERROR_TEXT,
    Hop,
    status_body,
    status_response,
    text_response,
)


def test_a_status_names_hop_reason_and_request() -> None:
    body = json.loads(status_body(503, "no agent", hop=Hop.AGENT, request_id="abc"))
    assert (body["kind"], body["apiVersion"], body["status"]) == ("Status", "v1", "Failure")
    assert (body["code"], body["reason"]) == (503, "ServiceUnavailable")
    assert body["message"] == "no agent (failed at: agent, request id: abc)"
    assert {"reason": "FailedHop", "message": "agent"} in body["details"]["causes"]


def test_a_whole_answer_says_when_to_try_again_and_whether_the_connection_ends() -> None:
    head, body = status_response(
        503, "x", hop=Hop.TUNNEL, request_id="r", retry_after=2, close=True
    )
    assert b"\r\nRetry-After: 2\r\n" in head
    assert b"\r\nConnection: close\r\n" in head
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert json.loads(body)["details"]["retryAfterSeconds"] == 2


def test_unauthorized_says_which_credential_is_expected() -> None:
    head, _ = status_response(401, "x", hop=Hop.CONTROL_PLANE, request_id="r")
    assert b'WWW-Authenticate: Bearer realm="pipeops"' in head


def test_a_long_cause_is_cut() -> None:
    body = json.loads(status_body(502, "x" * 5000, hop=Hop.KUBE_API, request_id="r"))
    assert body["message"].count("x") == MAX_ERROR_TEXT


def test_the_same_in_plain_text_for_clients_that_show_only_that() -> None:
    head, body = text_response(502, "no agent", hop=Hop.AGENT, request_id="r")
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain")
    assert body == b"no agent (failed at: agent, request id: r)"
