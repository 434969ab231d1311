"""The relays of a lane: which are opened, which messages are whose."""

from typing import Any

import pytest

from pipeops.protocol.messages.relaying import pack_frame
from pipeops.protocol.websocket import CLOSE, TEXT
from tests.unit.agent.json_dialect.bench import message
from tests.unit.agent.json_dialect.relaying import EXEC, Relaying


async def test_the_handshake_carries_what_the_control_plane_sent_and_nothing_of_its_hop() -> None:
    bench = Relaying()
    headers = {
        "Authorization": ["Bearer t"],
        "Impersonate-User": "ada",
        "Host": "x",
        "Connection": "upgrade, x-hop",
        "X-Hop": "1",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "client",
        "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
    }
    bench.start(headers=headers, query="command=sh")
    ((_, request),) = bench.pool.requests
    lines = request.split(b"\r\n")
    assert lines[0] == b"GET /base" + EXEC.encode() + b"?command=sh HTTP/1.1"
    assert b"Authorization: Bearer t" in lines
    assert b"Impersonate-User: ada" in lines
    assert b"Host: api" in lines
    assert b"Sec-WebSocket-Protocol: v4.channel.k8s.io" in lines
    assert not [line for line in lines if b"client" in line or b"x-hop" in line.lower()]


async def test_nobody_is_made_up_where_the_control_plane_sent_no_credential() -> None:
    bench = Relaying()
    bench.start()
    ((_, request),) = bench.pool.requests
    assert b"authorization" not in request.lower()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"stream_id": ""}, "missing stream_id"),
        ({"path": "/metrics"}, "invalid path: must be a Kubernetes API path"),
        ({"headers": {"A": "b\r\nc: d"}}, "invalid header"),
        ({"headers": {"Authorization": ["a", "b"]}}, "more than one authorization"),
        ({"headers": {"Impersonate-User": "system:admin"}}, "system:"),
    ],
)
async def test_refusals_name_the_request(more: dict[str, Any], said: str) -> None:
    bench = Relaying()
    bench.start(**more)
    ((kind, _, payload),) = bench.lane.sent
    assert kind == "proxy_error"
    assert said in payload["error"]
    assert bench.pool.requests == []


async def test_a_live_id_is_not_taken_over() -> None:
    bench = Relaying()
    bench.start()
    bench.start()
    assert len(bench.pool.requests) == 1
    bench.ask("s1", path="/x")
    assert len(bench.pool.requests) == 1


async def test_data_finds_its_relay_by_any_of_its_ids() -> None:
    bench = Relaying()
    bench.start()
    bench.accept("chat")
    data = pack_frame(TEXT, b"x")
    for payload, request_id in (
        ({"stream_id": "s1", "data": data}, None),
        ({"request_id": "s1", "data": data}, "other"),
        ({"data": data}, "s1"),
        ({"data": data}, "nobody"),
    ):
        bench.relays.data(message("proxy_websocket_data", payload, request_id))
    assert bench.received() == [(TEXT, b"x")] * 3


async def test_closing_is_echoed_once() -> None:
    bench = Relaying()
    bench.start()
    bench.accept()
    for _ in range(2):
        bench.relays.close(message("proxy_websocket_close", {"stream_id": "s1"}, "s1"))
    assert bench.lane.kinds() == ["proxy_websocket_close"]
    assert bench.received() == [(CLOSE, b"\x03\xe8")]


async def test_a_close_frame_among_the_data_closes() -> None:
    bench = Relaying()
    bench.start()
    bench.accept()
    bench.say(pack_frame(CLOSE, b"\x0f\xa0"))
    assert bench.received() == [(CLOSE, b"\x0f\xa0")]
    assert len(bench.relays) == 0


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_request_for_a_websocket_is_answered_with_101(streamed: bool) -> None:
    bench = Relaying()
    bench.ask("s1", path=EXEC, is_websocket=True, supports_response_streaming=streamed)
    bench.accept()
    kinds = ["proxy_response_header", "proxy_response_end"] if streamed else ["proxy_response"]
    assert bench.lane.kinds() == kinds
    said = bench.lane.sent[0][2]
    assert said["status"] == 101
    assert said["headers"]["X-App"] == ["yes"]
    assert "Sec-Websocket-Accept" not in said["headers"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_refused_websocket_has_the_servers_status(streamed: bool) -> None:
    bench = Relaying()
    bench.ask("s1", path=EXEC, is_websocket=True, supports_response_streaming=streamed)
    bench.refuse(403)
    assert bench.lane.kinds() == (
        ["proxy_response_header", "proxy_response_abort"] if streamed else ["proxy_error"]
    )
    assert "403" in str(bench.lane.sent)


async def test_cancelling_before_and_after_the_handshake() -> None:
    bench = Relaying()
    bench.ask("s1", path=EXEC, is_websocket=True)
    bench.requests.cancel(message("proxy_cancel", {}, "s1"))
    assert bench.lane.kinds() == ["proxy_error"]
    bench.ask("s2", path=EXEC, is_websocket=True)
    bench.accept()
    bench.requests.cancel(message("proxy_cancel", {}, "s2"))
    assert bench.lane.kinds()[-1] == "proxy_websocket_close"
    assert len(bench.relays) == 0
