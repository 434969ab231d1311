"""port-forward on the wire: SPDY, SPDY inside a WebSocket, and the older WebSocket channels."""

import asyncio
import struct
from collections.abc import Awaitable, Callable

from pipeops.sim.errors import bad_request
from pipeops.sim.http import Answer, Duplex, Request, Response, Upgrade
from pipeops.sim.streaming.channels import V4, V4_BASE64, WebSocketChannels
from pipeops.sim.streaming.conversation import converse
from pipeops.sim.streaming.pipes import Sink, Source
from pipeops.sim.streaming.remotecommand import DuplexWire, Outgoing
from pipeops.sim.streaming.spdy import (
    MAX_STREAMS,
    PROTOCOL_HEADER,
    SpdyConnection,
    SpdyStream,
    agree,
)
from pipeops.sim.streaming.websocket import Tunnel, WebSocket, handshake, is_websocket

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOLS = (V4, V4_BASE64)
MAX_PORTS = 64

Dial = Callable[[int, Source, Sink], Awaitable[None]]
"""Talks on one connection to a port of the pod until it ends; ConnectionRefusedError with the
text for the client when nobody listens."""


def upgrade(request: Request, dial: Dial) -> Answer:
    """Answer a port-forward request: 101 and the connections, or the refusal of a real cluster."""
    if is_websocket(request):
        return _by_websocket(request, dial)
    if request.header("upgrade").lower() != "spdy/3.1" and not request.header(PROTOCOL_HEADER):
        raise bad_request("Upgrade request required")
    agreed = agree(request, (SPDY_PROTOCOL,))
    if isinstance(agreed, Response):
        return agreed

    async def run(duplex: Duplex) -> None:
        await serve_spdy(SpdyConnection(DuplexWire(duplex)), dial)

    return Upgrade(agreed.headers, run)


def _by_websocket(request: Request, dial: Dial) -> Answer:
    agreed = handshake(request, (TUNNEL_PROTOCOL, *CHANNEL_PROTOCOLS))
    if isinstance(agreed, Response):
        return agreed
    if agreed.protocol == TUNNEL_PROTOCOL:

        async def tunnel(duplex: Duplex) -> None:
            await serve_spdy(SpdyConnection(Tunnel(WebSocket(duplex))), dial)

        return Upgrade(agreed.headers, tunnel)
    ports = _ports(request)

    async def channels(duplex: Duplex) -> None:
        await _serve_channels(WebSocket(duplex), agreed.protocol, ports, dial)

    return Upgrade(agreed.headers, channels)


def _ports(request: Request) -> list[int]:
    """The ports of the older protocol come in the query; 400 when they are missing or wrong."""
    named = [*request.query.get("ports", ()), *request.query.get("port", ())]
    texts = [text for value in named for text in value.split(",") if text]
    if not texts:
        raise bad_request('query parameter "port" is required')
    for text in texts:
        if not text.isdigit() or not 0 < int(text[:8]) < 65536 or len(texts) > MAX_PORTS:
            raise bad_request(f"invalid port {text[:8]!r}")
    return [int(text) for text in texts]


async def serve_spdy(connection: SpdyConnection, dial: Dial) -> None:
    """Serve pairs of streams (data and error, joined by `requestid`) until the client goes away."""

    async def work() -> None:
        waiting: dict[str, dict[str, SpdyStream]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                stream = await connection.accept()
                # Clients before 1.9 sent no request id; their pairs have neighbouring numbers.
                request = stream.headers.get("requestid") or str((stream.number + 1) // 4)
                pair = waiting.setdefault(request, {})
                kind = stream.headers.get("streamtype", "")
                if kind not in {"data", "error"} or kind in pair or len(waiting) > MAX_STREAMS:
                    await stream.reset()
                    continue
                pair[kind] = stream
                if len(pair) == 2:
                    del waiting[request]
                    group.create_task(_forward_pair(pair["data"], pair["error"], dial))

    await converse(connection.pump(), work())


async def _forward_pair(data: SpdyStream, error: SpdyStream, dial: Dial) -> None:
    port = data.headers.get("port", "")
    try:
        if not port.isdigit() or not 0 < int(port[:8]) < 65536:
            await error.write(f'invalid port "{port[:8]}"'.encode())
            await error.finish()
            await data.reset()
            return
        await forward(data, data.inbox, error, int(port), dial)
    except ConnectionError:
        return  # the client reset the pair, or is gone as a whole


async def forward(data: Outgoing, inbox: Source, error: Outgoing, port: int, dial: Dial) -> None:
    """One connection; a refusal goes to the error stream. ConnectionError: the client is gone."""
    try:
        await dial(port, inbox, data)
    except ConnectionRefusedError as refusal:
        await error.write(str(refusal).encode())
    await data.finish()
    await error.finish()


async def _serve_channels(socket: WebSocket, protocol: str, ports: list[int], dial: Dial) -> None:
    """Channel 2i carries the data of `ports[i]`, 2i+1 its errors; each begins with the port."""
    count = 2 * len(ports)
    split = WebSocketChannels(socket, protocol, count, range(0, count, 2))

    async def work() -> None:
        for channel in split.channels:
            await channel.write(struct.pack("<H", ports[channel.number // 2]))
        async with asyncio.TaskGroup() as group:
            for number, port in enumerate(ports):
                data, error = split.channels[2 * number : 2 * number + 2]
                group.create_task(forward(data, data.inbox, error, port, dial))
        await socket.close()

    await converse(split.pump(), work())
