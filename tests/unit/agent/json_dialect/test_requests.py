"""Messages of one lane: what starts, what is rejected, what is ignored."""

import base64
from typing import Any

import pytest

from pipeops.agent.json_dialect import requests as module
from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard
from tests.unit.agent.json_dialect.bench import Bench, front, message


def test_a_request_is_written_as_it_was_sent() -> None:
    bench = Bench()
    bench.ask(
        method="POST",
        path="/api/v1/x",
        query="a=1",
        headers={"Authorization": ["Bearer t"], "Impersonate-User": "ada"},
        body="abc",
    )
    ((_, request),) = bench.pool.requests
    assert request == (
        b"POST /base/api/v1/x?a=1 HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer t\r\n"
        b"Impersonate-User: ada\r\nContent-Length: 3\r\n\r\nabc"
    )


def test_nothing_is_added_where_the_control_plane_sent_no_credential() -> None:
    bench = Bench()
    bench.ask(path="/x")
    ((_, request),) = bench.pool.requests
    assert request == b"GET /base/x HTTP/1.1\r\nHost: api\r\n\r\n"


@pytest.mark.parametrize(
    "payload",
    [
        {"path": "/x", "headers": {"A": "b\r\nC: d"}},
        {"path": "/x", "headers": {"Upgrade": "websocket"}},
        {"path": "/x", "method": "G T"},
        {"path": "/x", "body": "*", "body_encoding": "base64"},
        {"path": "/x", "is_websocket": True},
        {"path": "/x", "service_name": "web", "namespace": "d", "service_port": 80},
        {"path": "/x", "body_binary": True},
    ],
)
def test_what_cannot_be_understood_is_answered(payload: dict[str, Any]) -> None:
    bench = Bench()
    bench.ask(**payload)
    ((kind, request_id, said),) = bench.lane.sent
    assert (kind, request_id) == ("proxy_error", "r1")
    assert said["error"].startswith("invalid ")
    assert bench.pool.requests == []


def test_without_an_id_nothing_can_be_answered() -> None:
    bench = Bench()
    bench.ask(request_id=None, path="/x")
    assert bench.lane.sent == []
    assert bench.pool.requests == []


def test_a_repeated_id_does_not_disturb_the_first_request() -> None:
    bench = Bench()
    bench.ask(path="/first")
    bench.ask(path="/second")
    assert len(bench.pool.requests) == 1
    bench.answer(b"ok", fin=True, front=front())
    assert bench.lane.kinds() == ["proxy_response"]
    bench.ask(path="/third")
    assert len(bench.pool.requests) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate-User": "system:admin"},
        {"Impersonate-User": "ada", "Impersonate-Group": ["system:masters"]},
        {"Impersonate-Group": ["a"]},
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_nobody_is_impersonated_whom_the_cluster_refuses(
    headers: dict[str, Any], streamed: bool
) -> None:
    bench = Bench()
    bench.ask(path="/x", headers=headers, supports_response_streaming=streamed)
    assert bench.pool.requests == []
    assert bench.lane.sent[0][2]["status"] == 403


@pytest.mark.parametrize(
    ("headers", "path", "rule"),
    [
        ({}, "/api/v1/secrets", "no-secrets"),
        ({}, "/api/v1//secrets", "cannot be applied"),
        ({"Impersonate-User": "eve"}, "/api/v1/pods", "not-eve"),
        ({}, "/api/v1/pods", "not-eve"),
    ],
)
def test_the_clusters_policy_counts_in_this_dialect_too(
    headers: dict[str, Any], path: str, rule: str
) -> None:
    policy = parse(
        {
            "version": 1,
            "deny": [
                {"name": "no-secrets", "resources": ["secrets"]},
                {"name": "not-eve", "users": ["eve"]},
            ],
        },
        "test",
    )
    bench = Bench(policy=PolicyGuard(policy))
    bench.ask(path=path, headers=headers, supports_response_streaming=True)
    assert bench.pool.requests == []
    assert bench.lane.sent[0][2]["status"] == 403
    assert rule in str(bench.lane.sent) or rule in str(
        base64.b64decode(
            str(bench.lane.sent[1][2].get("data") or bench.lane.sent[1][2].get("body"))
        )
    )
    bench.ask("r2", path="/api/v1/pods", headers={"Impersonate-User": "ada"})
    assert len(bench.pool.requests) == 1


def test_a_deadline_ends_the_exchange() -> None:
    bench = Bench()
    bench.ask(path="/x", timeout=1500)
    ((seconds, fire, _),) = bench.timers.set
    assert seconds == 1.5
    fire()
    assert "deadline exceeded" in bench.lane.sent[0][2]["error"]
    assert bench.pool.sinks[0].resets == 1


def test_a_finished_exchange_needs_no_timer() -> None:
    bench = Bench()
    bench.ask(path="/x", timeout=1500)
    bench.answer(b"", fin=True, front=front())
    assert bench.timers.set[0][2].cancelled


def test_streams_have_no_timeout_unless_one_is_asked_for() -> None:
    bench = Bench()
    bench.ask(path="/x", supports_response_streaming=True)
    assert bench.timers.set == []


def test_too_many_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REQUESTS", 2)
    bench = Bench()
    for number in range(3):
        bench.ask(f"r{number}", path="/x")
    assert len(bench.pool.requests) == 2
    assert bench.lane.sent[0][:2] == ("proxy_error", "r2")


@pytest.mark.parametrize(
    ("follow", "error"),
    [
        (b"\x00\x02r1abc", None),
        (b"\x00\x02r2abc", "another request"),
        (b"\x00", "shorter"),
    ],
)
def test_binary_bodies(follow: bytes, error: str | None) -> None:
    bench = Bench(multiplexed=False)
    assert not bench.requests.binary_body(follow)
    bench.ask(method="POST", path="/x", body_binary=True)
    assert bench.requests.binary_body(follow)
    if error is None:
        assert bench.pool.requests[0][1].endswith(b"Content-Length: 3\r\n\r\nabc")
    else:
        assert error in bench.lane.sent[0][2]["error"]
    assert not bench.requests.binary_body(follow)


def test_a_body_that_does_not_follow_ends_its_request() -> None:
    bench = Bench(multiplexed=False)
    bench.ask(method="POST", path="/x", body_binary=True)
    bench.requests.skip_binary_body()
    assert "did not follow" in bench.lane.sent[0][2]["error"]


def test_late_messages_are_ignored() -> None:
    bench = Bench()
    bench.requests.chunk(message("proxy_request_chunk", {"data": "YQ=="}), last=False)
    bench.requests.chunk(message("proxy_request_stream_end", {}), last=True)
    bench.requests.cancel(message("proxy_cancel", {}))
    assert bench.lane.sent == []


def test_a_broken_chunk_ends_its_request() -> None:
    bench = Bench()
    bench.ask(method="POST", path="/x", use_streaming=True)
    bench.requests.chunk(message("proxy_request_chunk", {"data": "*"}), last=False)
    assert bench.pool.sinks[0].resets == 1
    assert bench.lane.kinds() == ["proxy_error"]


def test_a_lost_lane_ends_everything_and_says_nothing() -> None:
    bench = Bench()
    for number in range(3):
        bench.ask(f"r{number}", path="/x")
    bench.requests.lost()
    assert [sink.resets for sink in bench.pool.sinks] == [1, 1, 1]
    assert bench.lane.sent == []
    assert bench.budget.taken == 0


def test_a_bug_ends_one_request_only() -> None:
    bench = Bench()
    bench.ask("r1", path="/x")
    bench.requests.broken("r1")
    bench.requests.broken("r2")
    assert [request_id for _, request_id, _ in bench.lane.sent] == ["r1", "r2"]
    assert all("internal error" in payload["error"] for _, _, payload in bench.lane.sent)


def test_the_clusters_policy_counts_for_websockets_too() -> None:
    policy = PolicyGuard(parse({"version": 1, "exec": False}, "test"))
    bench = Bench(policy=policy)
    bench.ask(path="/api/v1/namespaces/a/pods/p/exec", query="command=sh", is_websocket=True)
    ((kind, _, said),) = bench.lane.sent
    assert kind == "proxy_error"
    assert "rule 'exec'" in said["error"]
    assert bench.pool.requests == []
    assert bench.pool.dialled == []
