"""Lanes: each has its own requests, and loses only them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeops.agent.json_dialect import requests as requests_module
from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.lane import Lane
from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from tests.support.sockets import RecordingSocket
from tests.unit.agent.json_dialect.bench import Pool, front

NOW = datetime(2026, 6, 15, tzinfo=UTC)


def made(policy: PolicyGuard | None = None) -> tuple[JsonDialect, Pool]:
    pool = Pool()
    dialect = JsonDialect(
        pool, IdentityRule(), host="api", wall=lambda: NOW, base_path=b"/b/", policy=policy
    )
    return dialect, pool


def lane(dialect: JsonDialect) -> tuple[Lane, RecordingSocket]:
    one = Lane(0, Limits(), StreamAcceptor({}, lambda *_: None), dialect, wall=lambda: NOW)
    socket = RecordingSocket(one.link)
    one.link.on_open(socket)  # type: ignore[arg-type]
    return one, socket


def say(one: Lane, kind: str, payload: Any, request_id: str = "r1") -> None:
    one.link.on_text(envelope.encode(kind, payload, request_id=request_id, now=NOW))


async def test_the_same_id_on_two_lanes_is_two_requests() -> None:
    dialect, pool = made()
    (first, first_socket), (second, second_socket) = lane(dialect), lane(dialect)
    say(first, "proxy_request", {"path": "/1"})
    say(second, "proxy_request", {"path": "/2"})
    assert dialect.live == 2
    exchange, _ = pool.requests[1]
    exchange.stream.send(front(), True)
    assert first_socket.types() == []
    assert second_socket.types() == ["proxy_response"]


async def test_a_lost_lane_takes_its_requests_along() -> None:
    dialect, pool = made()
    (first, socket), (second, _) = lane(dialect), lane(dialect)
    say(first, "proxy_request", {"path": "/1"})
    say(second, "proxy_request", {"path": "/2"})
    socket.close(1006, "gone")
    assert dialect.live == 1
    assert [sink.resets for sink in pool.sinks] == [1, 0]
    assert first.link.on_resumed == set()


async def test_a_full_socket_holds_answers_back() -> None:
    dialect, pool = made()
    one, socket = lane(dialect)
    say(one, "proxy_request", {"path": "/1", "supports_response_streaming": True})
    one.link.on_pause()
    exchange, _ = pool.requests[0]
    assert not exchange.stream.send(front() + b"abc", False)
    assert socket.types() == []
    assert dialect.waiting == 3
    one.link.on_resume()
    assert socket.types() == ["proxy_response_header", "proxy_response_chunk"]
    assert dialect.waiting == 0


async def test_other_messages_are_somebody_elses() -> None:
    dialect, _ = made()
    one, socket = lane(dialect)
    say(one, "something_new", {})
    assert socket.types() == ["protocol_fallback"]


async def test_a_bug_of_ours_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect, pool = made()
    one, socket = lane(dialect)

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(pool, "send", fail)
    say(one, "proxy_request", {"path": "/1"})
    assert socket.types() == ["proxy_error"]
    assert dialect.live == 0


async def test_a_binary_message_is_a_body_only_where_one_is_awaited() -> None:
    dialect, pool = made()
    one, _ = lane(dialect)
    request = envelope.encode("proxy_request", {"path": "/json"}, request_id="r1", now=NOW)
    one.link.on_message(request)
    assert len(pool.requests) == 1
    say(one, "proxy_request", {"method": "POST", "path": "/b", "body_binary": True}, "r2")
    one.link.on_message(b"\x00\x02r2{}")
    assert pool.requests[1][1].endswith(b"\r\n\r\n{}")


USUAL = {
    "method": "GET",
    "path": "/api/v1/pods",
    "headers": {"Impersonate-User": ["ada"], "A": ["b"], "Host": ["h"]},
    "supports_response_streaming": True,
}
HEADERS = st.sampled_from(
    [
        {},
        {"Impersonate-User": ["eve"]},
        {"Impersonate-User": ["system:admin"]},
        {"impersonate_user": ["ada"], "Impersonate-User": ["ada"]},
        {"Impersonate-User": ["ada"], "Impersonate-Group": ["system:masters"]},
        {"Impersonate-Group": ["a"]},
        {"Authorization": ["a", "b"]},
        {"Connection": ["A"], "A": ["b"]},
        {"Sec-WebSocket-Key": ["x"]},
        {"A": ["b\r\nC: d"]},
        {"A": ["\u00e9", " b "], "B": []},
    ]
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["GET", "POST", "DELETE", "HEAD", "get", "PURGE"]),
        "path": st.sampled_from(["/api/v1/secrets", "/api/v1/pods/a b", "/%2F", "x", "/api/../x"]),
        "query": st.sampled_from(["", "watch=true&a=%2F", "a b", "<"]),
        "headers": HEADERS,
        "body_binary": st.just(True),
        "timeout": st.just(0.5),
    },
).map(lambda changed: USUAL | changed)
HEADS = st.sampled_from([b'A: b\r\nETag: "<"\r\n', b"A:b\r\n", b"A: \xe9\r\n", b"TE: x\r\n", b""])
POLICY = parse(
    {
        "version": 1,
        "deny": [
            {"name": "no-secrets", "resources": ["secrets"]},
            {"name": "not-eve", "users": ["eve"]},
        ],
    },
    "test",
)


@given(
    st.lists(st.tuples(st.sampled_from(["r1", "r2", "<r>"]), REQUESTS), min_size=1, max_size=4),
    st.tuples(HEADS, st.sampled_from([b"", b"abc", b"x" * 40_000]), st.sampled_from([1, 4])),
    st.booleans(),
    st.booleans(),
)
def test_one_step_or_two_the_cluster_and_the_control_plane_see_the_same(
    requests: list[tuple[str, dict[str, Any]]],
    answer: tuple[bytes, bytes, int],
    paused: bool,
    guarded: bool,
) -> None:
    async def seen(*, at_once: bool) -> object:
        guard = PolicyGuard(POLICY) if guarded else None
        dialect, pool = made(guard)
        if not at_once:
            dialect.on_text = lambda *_: False  # type: ignore[method-assign]
        one, socket = lane(dialect)
        head, body, pieces = answer
        for request_id, payload in requests:
            say(one, "proxy_request", payload, request_id)
        if paused:
            one.link.on_pause()
        for exchange, _ in pool.requests:
            data = front(headers=head) + body
            for piece in range(pieces):
                start, end = piece * len(data) // pieces, (piece + 1) * len(data) // pieces
                if piece == 0 and pieces > 1:
                    end = max(end, len(front(headers=head)))
                elif piece == 1:
                    start = max(start, len(front(headers=head)))
                exchange.stream.send(data[start : max(start, end)], piece == pieces - 1)
        if paused:
            one.link.on_resume()
        refused = guard.refused if guard else 0
        return [raw for _, raw in pool.requests], socket.texts, dialect.live, refused

    assert asyncio.run(seen(at_once=True)) == asyncio.run(seen(at_once=False))


async def test_most_requests_need_no_message_object(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect, pool = made()
    one, socket = lane(dialect)
    monkeypatch.setattr(dialect, "on_request", lambda *_: pytest.fail("decoded"))
    say(one, "proxy_request", USUAL)
    ((exchange, request),) = pool.requests
    assert request == (
        b"GET /b/api/v1/pods HTTP/1.1\r\nHost: api\r\nA: b\r\nImpersonate-User: ada\r\n\r\n"
    )
    exchange.failed(502, "stale", Hop.KUBE_API)
    assert socket.types() == ["proxy_response_abort"]
    say(one, "proxy_request", USUAL)
    exchange, _ = pool.requests[1]
    assert exchange.retry()
    assert pool.dialled == [request]


async def test_a_usual_request_takes_the_place_of_an_awaited_body() -> None:
    dialect, pool = made()
    one, socket = lane(dialect)
    say(one, "proxy_request", {"method": "POST", "path": "/b", "body_binary": True}, "r2")
    say(one, "proxy_request", USUAL)
    assert [request[:4] for _, request in pool.requests] == [b"GET "]
    ((message),) = socket.messages()
    assert (message.type, message.request_id) == ("proxy_error", "r2")


async def test_a_bug_in_the_short_way_is_answered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect, pool = made()
    one, socket = lane(dialect)

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(pool, "send", fail)
    say(one, "proxy_request", USUAL)
    assert socket.types() == ["proxy_response_abort"]
    assert dialect.live == 0


async def test_a_full_lane_says_so_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect, pool = made()
    one, socket = lane(dialect)
    monkeypatch.setattr(requests_module, "MAX_REQUESTS", 0)
    say(one, "proxy_request", USUAL)
    assert pool.requests == []
    assert socket.types() == ["proxy_response_abort"]
