"""Gateway mode over real sockets (reference protocol §4.2, §7.1): hand-over, reconnect, re-registration, live streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conformance.agent import running_agent
from tests.conformance.control_plane import ControlPlaneSocket, FakeControlPlane, fake_control_plane
from tests.conformance.kube_api import FakeKubeApi, SeenRequest, fake_kube_api

OURS = (
    "supports_binary=true&supports_response_streaming=true&supports_streaming=true"
    "&supports_websocket=true&supports_yamux=true"
)


@asynccontextmanager
async def neighbours() -> AsyncIterator[tuple[FakeControlPlane, FakeControlPlane, FakeKubeApi]]:
    """A control plane, a gateway and an API server."""
    async with (
        fake_control_plane() as control,
        fake_control_plane() as gateway,
        fake_kube_api() as api,
    ):
        yield control, gateway, api


async def handed_over(
    control: FakeControlPlane, gateway: FakeControlPlane
) -> tuple[ControlPlaneSocket, ControlPlaneSocket]:
    """Controller's and gateway's socket of an agent that was sent to the gateway."""
    first = await register(control, gateway)
    second = await gateway.socket()
    return first, second


async def register(control: FakeControlPlane, gateway: FakeControlPlane) -> ControlPlaneSocket:
    socket = await control.socket()
    message = await socket.next("register")
    success = {"cluster_id": "6f1c", "cluster_uuid": "6f1c", "gateway_ws_url": gateway.url}
    socket.send("register_success", success, message["request_id"])
    return socket


async def serves(socket: ControlPlaneSocket) -> None:
    socket.send("proxy_request", {"path": "/version"}, "rq")
    (answer,) = await socket.answer("rq")
    assert answer.message["payload"]["status"] == 200


async def test_the_hand_over_is_the_transcripts() -> None:
    async with neighbours() as (control, gateway, api), running_agent(control.url, api.port):
        first, second = await handed_over(control, gateway)
        async with asyncio.timeout(5):
            await first.closed.wait()
        assert first.close_frame == (1000).to_bytes(2, "big")
        line = second.request.split(b"\r\n")[0].decode()
        assert line.startswith("GET /ws?agent_version=")
        assert line.endswith(f"&cluster_uuid=6f1c&{OURS} HTTP/1.1")
        assert b"Authorization: Bearer tok_demo" in second.request
        assert (await second.next())["type"] == "heartbeat"  # and no register
        second.send("gateway_hello", {"use_yamux": True})
        assert (await second.next("gateway_hello_ack"))["payload"] == {"use_yamux": True}
        await serves(second)
        second.writer.close()


async def test_a_lost_gateway_is_dialled_again_and_read_at_once_despite_live_streams() -> None:
    async def endless(request: SeenRequest) -> None:
        await request.begin_chunked()
        await request.chunk(b"first")
        await request.wait_gone()

    async with neighbours() as (control, gateway, api), running_agent(control.url, api.port):
        api.handlers["/watch"] = endless
        _, second = await handed_over(control, gateway)
        watch = {"path": "/watch", "supports_response_streaming": True}
        for number in range(50):
            second.send("proxy_request", watch, f"w{number}")
        for _ in range(50):
            await second.next("proxy_response_chunk")
        second.writer.transport.abort()
        third = await gateway.socket()
        async with asyncio.timeout(2):
            await serves(third)
        assert control.sockets.empty()
        third.writer.close()


async def test_a_gateway_that_went_away_is_asked_for_anew() -> None:
    async with neighbours() as (control, gateway, api), running_agent(control.url, api.port):
        _, second = await handed_over(control, gateway)
        gateway.answers.append(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        second.writer.transport.abort()
        await register(control, gateway)
        fourth = await gateway.socket()
        await serves(fourth)
        fourth.writer.close()


async def test_registering_again_does_not_disturb_the_gateways_streams() -> None:
    async with neighbours() as (control, gateway, api), running_agent(control.url, api.port):
        _, second = await handed_over(control, gateway)
        await second.next("heartbeat")
        second.send("error", {"error": "cluster not registered"})
        await register(control, gateway)
        await serves(second)
        assert gateway.sockets.empty()
        second.writer.close()


async def test_another_gateway_is_moved_to() -> None:
    async with (
        neighbours() as (control, gateway, api),
        fake_control_plane() as other,
        running_agent(control.url, api.port),
    ):
        _, second = await handed_over(control, gateway)
        second.send("error", {"error": "cluster not found"})
        await register(control, other)
        third = await other.socket()
        await serves(third)
        async with asyncio.timeout(5):
            await second.closed.wait()
        third.writer.close()


async def test_a_gateway_that_refuses_at_first_is_no_reason_to_give_up() -> None:
    async with neighbours() as (control, gateway, api), running_agent(control.url, api.port):
        gateway.answers.append(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await register(control, gateway)
        await register(control, gateway)
        third = await gateway.socket()
        await serves(third)
        third.writer.close()
