"""Port-forward: TCP connections to loopback on the streams of a SPDY connection or the channels of a WebSocket."""

import asyncio
import contextlib
import struct
from collections.abc import Callable

from tests.support.channels import Channel
from tests.support.remotecommand import WebSocketChannel
from tests.support.spdy import SpdyConnection, SpdyStream
from tests.support.websocket import WebSocket

Resolve = Callable[[int], int]
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
SPDY_PROTOCOL = "portforward.k8s.io"
WEBSOCKET_PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io", "")


async def forward_spdy(connection: SpdyConnection, resolve: Resolve) -> None:
    """Serve pairs of streams (data and error, joined by `requestid`) until the client goes away."""
    waiting: dict[str, dict[str, SpdyStream]] = {}
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(connection.run())
        connections: set[asyncio.Task[None]] = set()
        while (stream := await connection.accept()) is not None:
            # Clients before 1.9 sent no request id; each of their pairs has neighbouring stream numbers.
            request = stream.headers.get("requestid", str((stream.number + 1) // 4))
            pair = waiting.setdefault(request, {})
            pair[stream.headers.get("streamtype", "")] = stream
            if pair.keys() >= {"data", "error"}:
                del waiting[request]
                task = group.create_task(_forward_pair(pair["data"], pair["error"], resolve))
                connections.add(task)
                task.add_done_callback(connections.discard)
        for task in connections:
            task.cancel()
        await reader


async def _forward_pair(data: SpdyStream, error: SpdyStream, resolve: Resolve) -> None:
    try:
        port = int(data.headers["port"])
    except (KeyError, ValueError):
        await error.write(b"missing or invalid port header")
        await error.finish()
        await data.reset()
        return
    await _forward(data, error, port, resolve)
    if data.was_reset:
        await error.reset()


async def forward_websocket(
    socket: WebSocket, ports: list[int], resolve: Resolve, *, text: bool
) -> None:
    """The older WebSocket protocol: channel 2i carries the data of `ports[i]`, 2i+1 its errors."""
    channels = [WebSocketChannel(socket, number, text=text) for number in range(2 * len(ports))]
    for number, channel in enumerate(channels):
        await channel.write(struct.pack("<H", ports[number // 2]))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_forward(channels[2 * i], channels[2 * i + 1], port, resolve))
            for i, port in enumerate(ports)
        ]
        while (message := await socket.receive()) is not None:
            if message and message[0] < len(channels):
                await channels[message[0]].inbox.put(message[1:])
        for channel in channels:
            channel.inbox.abort()
        for task in tasks:
            task.cancel()


async def _forward(data: Channel, error: Channel, port: int, resolve: Resolve) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", resolve(port))
    except OSError as problem:
        await error.write(f"failed to connect to port {port}: {problem}".encode())
        await error.finish()
        await data.finish()
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_upload(data, writer))
            group.create_task(_download(reader, data))
        await error.finish()
    finally:
        writer.close()


async def _upload(data: Channel, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await data.read():
            writer.write(chunk)
            await writer.drain()
        if isinstance(data, SpdyStream) and data.was_reset:
            writer.transport.abort()
        else:
            writer.write_eof()


async def _download(reader: asyncio.StreamReader, data: Channel) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(32768):
            await data.write(chunk)
    await data.finish()
