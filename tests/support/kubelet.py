"""A stub kubelet's HTTPS endpoint: logs, exec, attach and port-forward over SPDY/3.1 and WebSocket."""

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support import portforward, remotecommand
from tests.support.certificates import KeyPair
from tests.support.channels import Channel
from tests.support.containers import LogQuery, Pod, Process, log_lines
from tests.support.remotecommand import Wanted
from tests.support.spdy import SpdyConnection, SpdyError
from tests.support.websocket import TunnelReader, WebSocket, WebSocketError, accept_key

CLIENT_NAME = "kube-apiserver-kubelet-client"
Finished = Callable[[Pod, str, int], None]


class BadRequestError(Exception):
    """The request gets this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Request:
    """A request head."""

    method: str
    path: list[str]
    query: dict[str, list[str]]
    headers: dict[str, list[str]]

    @classmethod
    def parse(cls, head: bytes) -> "Request":
        lines = head.decode("latin-1").split("\r\n")
        try:
            method, target, _ = lines[0].split(" ")
        except ValueError:
            raise BadRequestError(400, "bad request line") from None
        headers: dict[str, list[str]] = {}
        for line in filter(None, lines[1:]):
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        parts = urlsplit(target)
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        return cls(method, path, parse_qs(parts.query, keep_blank_values=True), headers)

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[0] in {"1", "true"}

    def number(self, name: str) -> int | None:
        value = self.query.get(name, [""])[0]
        return int(value) if value.isdigit() else None

    @property
    def upgrade(self) -> str:
        return self.headers.get("upgrade", [""])[0].lower()

    def protocol(self, header: str, offered: tuple[str, ...]) -> str:
        """The first protocol the client names that we offer; what it names may be spread over several headers."""
        named = [each.strip() for line in self.headers.get(header, ()) for each in line.split(",")]
        for name in named or [""]:
            if name in offered:
                return name
        raise BadRequestError(403, f"unable to upgrade: none of {named} in {list(offered)}")


class Kubelet:
    """Serves pods from a table that somebody else keeps.

    Args:
        pods: Pods by (namespace, name).
        finished: Called when a container's main process, run by attach, has ended: pod, container, exit code.
    """

    def __init__(self, pods: Mapping[tuple[str, str], Pod], finished: Finished) -> None:
        self._pods = pods
        self._finished = finished

    async def serve(self, serving: KeyPair, client_ca: Path) -> asyncio.Server:
        """Listen on a free loopback port; only the API server's own certificate is let in."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(serving.certificate, serving.key)
        tls.load_verify_locations(client_ca)
        tls.verify_mode = ssl.CERT_REQUIRED
        return await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=tls)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(reader, writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await self._answer(exchange, Request.parse(head))
        except BadRequestError as error:
            await exchange.plain(error.status, str(error))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # the client went away
        except ExceptionGroup as group:
            expected = (SpdyError, WebSocketError, OSError)
            for each in group.exceptions:
                if not isinstance(each, expected):
                    raise
                print(f"kubelet: {each!r}", file=sys.stderr, flush=True)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, exchange: "Exchange", request: Request) -> None:
        spoken = f" ({request.upgrade})" if request.upgrade else ""
        print(
            f"kubelet: {request.method} /{'/'.join(request.path)}{spoken}",
            file=sys.stderr,
            flush=True,
        )
        exchange.require_client(CLIENT_NAME)
        match request.path:
            case ["healthz"]:
                await exchange.plain(200, "ok")
            case ["pods"]:
                items = [pod.manifest for pod in self._pods.values()]
                await exchange.plain(200, json.dumps({"kind": "PodList", "items": items}))
            case ["containerLogs", namespace, name, container]:
                pod = self._pod(namespace, name, container)
                await self._logs(exchange, request, pod, container)
            case ["exec", namespace, name, container]:
                pod = self._pod(namespace, name, container)
                argv = request.query.get("command", [])
                await self._remote_command(exchange, request, pod, container, argv)
            case ["attach", namespace, name, container]:
                pod = self._pod(namespace, name, container)
                await self._remote_command(exchange, request, pod, container, None)
            case ["portForward", namespace, name]:
                await self._port_forward(exchange, request, self._pod(namespace, name, None))
            case _:
                raise BadRequestError(404, "404 page not found")

    def _pod(self, namespace: str, name: str, container: str | None) -> Pod:
        pod = self._pods.get((namespace, name))
        if pod is None:
            raise BadRequestError(404, f'pod "{name}" not found in namespace "{namespace}"')
        if container is not None and pod.container(container) is None:
            raise BadRequestError(404, f"container {container} not found in pod {name}")
        return pod

    async def _logs(self, exchange: "Exchange", request: Request, pod: Pod, container: str) -> None:
        if request.flag("previous"):
            message = f'previous terminated container "{container}" in pod "{pod.key[1]}" not found'
            raise BadRequestError(400, message)
        query = LogQuery(
            follow=request.flag("follow"),
            tail=request.number("tailLines"),
            limit=request.number("limitBytes"),
            timestamps=request.flag("timestamps"),
            since=request.number("sinceSeconds"),
        )
        await exchange.chunked()
        async for line in log_lines(pod, container, query):
            await exchange.chunk(line)
        await exchange.chunk(b"")

    async def _remote_command(
        self,
        exchange: "Exchange",
        request: Request,
        pod: Pod,
        container: str,
        argv: list[str] | None,
    ) -> None:
        wanted = Wanted(
            stdin=request.flag("input"),
            stdout=request.flag("output"),
            stderr=request.flag("error"),
            tty=request.flag("tty"),
        )

        async def run(
            channels: remotecommand.Channels, gone: Callable[[], Awaitable[None]]
        ) -> None:
            if argv is None and not wanted.stdin:
                await _attach_output(channels, pod, container, gone)
                return

            async def start() -> Process:
                command = pod.command(container) if argv is None else argv
                return await pod.run(command, container=container, terminal=wanted.tty)

            code = await remotecommand.execute(channels, start, gone)
            if argv is None and code is not None:
                self._finished(pod, container, code)

        if request.upgrade == "websocket":
            protocol = request.protocol("sec-websocket-protocol", remotecommand.WEBSOCKET_PROTOCOLS)
            await _over_websocket(
                await exchange.websocket(request, protocol), wanted, protocol, run
            )
        else:
            protocol = request.protocol("x-stream-protocol-version", remotecommand.SPDY_PROTOCOLS)
            await _over_spdy(await exchange.spdy(protocol), wanted, protocol, run)

    async def _port_forward(self, exchange: "Exchange", request: Request, pod: Pod) -> None:
        if request.upgrade != "websocket":
            protocol = request.protocol("x-stream-protocol-version", (portforward.SPDY_PROTOCOL,))
            await portforward.forward_spdy(await exchange.spdy(protocol), pod.forwarded_port)
            return
        offered = (portforward.TUNNEL_PROTOCOL, *portforward.WEBSOCKET_PROTOCOLS)
        protocol = request.protocol("sec-websocket-protocol", offered)
        socket = await exchange.websocket(request, protocol)
        if protocol == portforward.TUNNEL_PROTOCOL:
            connection = SpdyConnection(TunnelReader(socket), socket.send)
            await portforward.forward_spdy(connection, pod.forwarded_port)
        else:
            named = request.query.get("port") or request.query.get("ports") or []
            ports = [int(port) for each in named for port in each.split(",")]
            text = "base64" in protocol
            await portforward.forward_websocket(socket, ports, pod.forwarded_port, text=text)
        await socket.close()


Run = Callable[[remotecommand.Channels, Callable[[], Awaitable[None]]], Awaitable[None]]


async def _over_spdy(connection: SpdyConnection, wanted: Wanted, protocol: str, run: Run) -> None:
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(connection.run())
        channels = await remotecommand.spdy_channels(connection, wanted, protocol)
        if channels is not None:
            await run(channels, _until(reader))
            await _linger(reader)
        reader.cancel()


async def _over_websocket(socket: WebSocket, wanted: Wanted, protocol: str, run: Run) -> None:
    split = remotecommand.WebSocketChannels(socket, wanted, protocol)
    await split.greet()
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(split.run())
        await run(split.channels, _until(reader))
        await socket.close()
        await _linger(reader)
        reader.cancel()


def _until(task: asyncio.Task[None]) -> Callable[[], Awaitable[None]]:
    async def gone() -> None:
        await asyncio.wait([task])

    return gone


async def _linger(reader: asyncio.Task[None]) -> None:
    """Let the client close first: a close of ours could overtake the last bytes in its reader."""
    await asyncio.wait([reader], timeout=1)


async def _attach_output(
    channels: remotecommand.Channels,
    pod: Pod,
    container: str,
    gone: Callable[[], Awaitable[None]],
) -> None:
    async def copy(stdout: Channel) -> None:
        async for line in log_lines(pod, container, LogQuery(follow=True, tail=0)):
            await stdout.write(line)

    async with asyncio.TaskGroup() as group:
        copying = group.create_task(remotecommand.stream_output(channels, copy))
        leaving = group.create_task(_wait_for(gone))
        await asyncio.wait([copying, leaving], return_when=asyncio.FIRST_COMPLETED)
        copying.cancel()
        leaving.cancel()


async def _wait_for(gone: Callable[[], Awaitable[None]]) -> None:
    await gone()


class Exchange:
    """Writes answers to one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def require_client(self, name: str) -> None:
        """Refuse everybody but the holder of a certificate with this common name."""
        certificate = self._writer.get_extra_info("peercert") or {}
        names = [
            value
            for part in certificate.get("subject", ())
            for key, value in part
            if key == "commonName"
        ]
        if names != [name]:
            raise BadRequestError(403, f"Forbidden (user={names})")

    async def plain(self, status: int, text: str) -> None:
        body = text.encode()
        await self._head(
            f"{status} {'OK' if status == 200 else 'Error'}",
            "Content-Type: text/plain",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        self._writer.write(body)
        await self._writer.drain()

    async def chunked(self) -> None:
        await self._head(
            "200 OK", "Content-Type: text/plain", "Transfer-Encoding: chunked", "Connection: close"
        )

    async def chunk(self, data: bytes) -> None:
        """One chunk; an empty one ends the body."""
        self._writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self._writer.drain()

    async def spdy(self, protocol: str) -> SpdyConnection:
        await self._head(
            "101 Switching Protocols",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            f"X-Stream-Protocol-Version: {protocol}",
        )
        return SpdyConnection(self._reader, self._send)

    async def websocket(self, request: Request, protocol: str) -> WebSocket:
        keys = request.headers.get("sec-websocket-key", [])
        if len(keys) != 1:
            raise BadRequestError(400, "one Sec-WebSocket-Key expected")
        await self._head(
            "101 Switching Protocols",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Accept: {accept_key(keys[0])}",
            *([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []),
        )
        return WebSocket(self._reader, self._writer)

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _head(self, status: str, *headers: str) -> None:
        self._writer.write("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode())
        await self._writer.drain()
