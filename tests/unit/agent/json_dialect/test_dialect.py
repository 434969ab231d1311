"""Lanes: each has its own requests, and loses only them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.agent.json_dialect.dialect import JsonDialect
from pipeops.agent.lane import Lane
from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.identity import IdentityRule
from pipeops.protocol.limits import Limits
from pipeops.protocol.messages import envelope
from tests.support.sockets import RecordingSocket
from tests.unit.agent.json_dialect.bench import Pool, front

NOW = datetime(2026, 6, 15, tzinfo=UTC)


def made() -> tuple[JsonDialect, Pool]:
    pool = Pool()
    return JsonDialect(pool, IdentityRule(), host="api", wall=lambda: NOW), pool


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
