"""Agents of the first generation on their tunnel."""

import json
from typing import Any

from pipeops.control.sessions.seed_peer import SeedPeer
from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.proxying import ProxyRequestPayload
from pipeops.runtime.tasks import OnError, TaskScope
from tests.support.sockets import RecordingSocket
from tests.support.turns import turns
from tests.unit.control.sessions.test_peer import NOW, Context


class Answers:
    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.unknown: list[str] = []
        self.lost = 0

    def on_answer(self, message: Any) -> None:
        self.taken.append(message)

    def on_unknown(self, kind: str) -> None:
        self.unknown.append(kind)

    def on_lost(self) -> None:
        self.lost += 1


async def connected(context: Context) -> tuple[SeedPeer, RecordingSocket, Any, Answers]:
    peer = SeedPeer(context, context.grant)  # type: ignore[arg-type]
    socket = RecordingSocket(peer.link)
    peer.link.on_open(socket)  # type: ignore[arg-type]
    await turns()
    (instance,) = context.registry.instances("c")
    lane = instance.lanes[0]
    answers = Answers()
    lane.answers = answers
    return peer, socket, lane, answers


async def test_requests_become_frames_and_answers_become_messages() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket, lane, answers = await connected(Context(scope))
        assert not lane.instance.native
        assert lane.link.session is None
        payload = ProxyRequestPayload(method="GET", path="/api", query="a=1", headers={"A": ["b"]})
        lane.link.send_text(envelope.encode("proxy_request", payload, request_id="r", now=NOW))
        (frame,) = [json.loads(text) for text in socket.texts]
        assert (frame["request_id"], frame["path"], frame["headers"]) == (
            "r",
            "/api?a=1",
            {"A": ["b"]},
        )
        peer.link.on_text(b'{"request_id":"r","status_code":200,"body":{"x":1}}')
        peer.link.on_text(b"nonsense")
        (message,) = answers.taken
        assert (message.type, message.request_id) == ("proxy_response", "r")
        assert json.loads(bytes(message.payload)) == {
            "status": 200,
            "headers": {"Content-Type": ["application/json"]},
            "body": "eyJ4IjoxfQ==",
            "encoding": "base64",
        }
        peer.link.abort("end of test")
        assert answers.lost == 1


async def test_what_the_tunnel_cannot_say_is_not_sent() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        peer, socket, lane, answers = await connected(Context(scope))
        for kind in ("proxy_websocket_start", "proxy_cancel"):
            lane.link.send_text(envelope.encode(kind, {}, request_id="r", now=NOW))
        assert socket.texts == []
        assert answers.unknown == ["proxy_websocket_start"]
        peer.link.abort("end of test")


async def test_a_revoked_token_ends_the_tunnel() -> None:
    async with TaskScope("test", on_error=OnError.CANCEL) as scope:
        context = Context(scope)
        _, socket, _, _ = await connected(context)
        context.grant.revoke()
        assert socket.closed == (1008, "the cluster's token was revoked")
        assert len(context.registry) == 0
