"""exec and attach: a process of a pod on the channels of a SPDY connection or of a WebSocket."""

import asyncio
import base64
import binascii
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.support.channels import Channel, Inbox
from tests.support.containers import Process
from tests.support.spdy import SpdyConnection
from tests.support.websocket import TEXT, WebSocket

WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "base64.channel.k8s.io",
    "channel.k8s.io",
    "",
)
SPDY_PROTOCOLS = (
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
)
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_NUMBERS = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}


@dataclass(frozen=True)
class Wanted:
    """Which streams the request asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def names(self, *, resize: bool) -> set[str]:
        names = {"error"}
        names |= {"stdin"} if self.stdin else set()
        names |= {"stdout"} if self.stdout else set()
        names |= {"stderr"} if self.stderr and not self.tty else set()
        return names | ({"resize"} if self.tty and resize else set())


@dataclass(frozen=True)
class Channels:
    """The open channels by name, and whether their peer understands a JSON status."""

    by_name: dict[str, Channel]
    json_status: bool


async def spdy_channels(
    connection: SpdyConnection, wanted: Wanted, protocol: str
) -> Channels | None:
    """Wait for the client's streams; None if it goes away or sends none for 30 seconds."""
    names = wanted.names(resize=protocol.startswith(("v3", "v4")))
    found: dict[str, Channel] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while set(found) < names:
                stream = await connection.accept()
                if stream is None:
                    return None
                found[stream.headers.get("streamtype", "")] = stream
    return Channels(found, protocol.startswith("v4")) if set(found) >= names else None


class WebSocketChannel:
    """One channel number of a WebSocket; satisfies `Channel`."""

    def __init__(self, socket: WebSocket, number: int, *, text: bool) -> None:
        self.inbox = Inbox()
        self._socket = socket
        self._number = number
        self._text = text

    async def read(self) -> bytes:
        return await self.inbox.read()

    async def write(self, data: bytes) -> None:
        if self._text:
            encoded = str(self._number).encode() + base64.b64encode(data)
            await self._socket.send(encoded, kind=TEXT)
        else:
            await self._socket.send(bytes([self._number]) + data)

    async def finish(self) -> None:
        """There is no half close towards the client: the end of the socket is the end of all."""


class WebSocketChannels:
    """Splits the messages of a WebSocket by their first byte."""

    def __init__(self, socket: WebSocket, wanted: Wanted, protocol: str) -> None:
        self._socket = socket
        self._text = "base64" in protocol
        self._half_close = protocol.startswith("v5")
        self._channels = {
            name: WebSocketChannel(socket, number, text=self._text)
            for name, number in _NUMBERS.items()
            if name in wanted.names(resize=True)
        }
        self._by_number = {_NUMBERS[name]: each for name, each in self._channels.items()}
        by_name: dict[str, Channel] = dict(self._channels)
        self.channels = Channels(by_name, protocol.startswith(("v4", "v5")))

    async def greet(self) -> None:
        """An empty message, which tells clients that the connection stands (as kubelets do)."""
        for name in ("stdout", "stderr", "error"):
            if name in self._channels:
                await self._channels[name].write(b"")
                return

    async def run(self) -> None:
        """Read until the client goes away, then end every channel."""
        try:
            while (message := await self._socket.receive()) is not None:
                await self._message(message)
        finally:
            for channel in self._by_number.values():
                channel.inbox.abort()

    async def _message(self, message: bytes) -> None:
        if not message:
            return
        number, data = message[0], message[1:]
        if self._text:
            number -= ord("0")
            with contextlib.suppress(binascii.Error):
                data = base64.b64decode(data)
        if number == CLOSE and self._half_close and data:
            channel = self._by_number.get(data[0])
            if channel is not None:
                await channel.inbox.end()
        elif number in self._by_number:
            await self._by_number[number].inbox.put(data)


async def execute(
    channels: Channels,
    start: Callable[[], Awaitable[Process]],
    gone: Callable[[], Awaitable[None]],
) -> int | None:
    """Run a process on the channels and report its end on the error channel.

    Args:
        channels: Where its input comes from and its output goes.
        start: Starts the process; an `OSError` becomes the status that a container runtime would send.
        gone: Returns when the client has gone; the process is killed then.

    Returns:
        The exit code, or None if it could not start.
    """
    try:
        process = await start()
    except OSError as error:
        await _report(channels, _not_started(error))
        return None
    async with asyncio.TaskGroup() as group:
        feeders = [
            group.create_task(_feed(process, channels.by_name.get("stdin"))),
            group.create_task(_resize(process, channels.by_name.get("resize"))),
            group.create_task(_kill_when_gone(process, gone)),
        ]
        outputs = [
            group.create_task(_copy(process.read_output, channels.by_name.get("stdout"))),
            group.create_task(_copy(process.read_errors, channels.by_name.get("stderr"))),
        ]
        code = await process.wait()
        for task in outputs:
            await task
        for task in feeders:
            task.cancel()
    process.close()
    await _report(channels, _exited(code))
    return code


async def stream_output(channels: Channels, lines: Callable[[Channel], Awaitable[None]]) -> None:
    """attach without input: copy the container's output until it ends."""
    stdout = channels.by_name.get("stdout") or channels.by_name.get("stderr")
    if stdout is not None:
        await lines(stdout)
    await _report(channels, _exited(0))


async def _copy(read: Callable[[], Awaitable[bytes]], channel: Channel | None) -> None:
    while data := await read():
        if channel is not None:
            await channel.write(data)


async def _feed(process: Process, channel: Channel | None) -> None:
    if channel is None:
        await process.without_input()
        return
    while data := await channel.read():
        await process.write(data)
    await process.finish_input()


async def _resize(process: Process, channel: Channel | None) -> None:
    while channel is not None and (data := await channel.read()):
        # Each size is a JSON document of its own, but several may arrive in one piece.
        for document in data.replace(b"}{", b"}\n{").splitlines():
            with contextlib.suppress(ValueError, KeyError):
                size = json.loads(document)
                process.resize(size["Width"], size["Height"])


async def _kill_when_gone(process: Process, gone: Callable[[], Awaitable[None]]) -> None:
    await gone()
    process.kill()


async def _report(channels: Channels, status: dict[str, Any]) -> None:
    for name in ("stdout", "stderr"):
        if name in channels.by_name:
            await channels.by_name[name].finish()
    error = channels.by_name["error"]
    if channels.json_status:
        await error.write(json.dumps(status).encode())
    elif status["status"] != "Success":
        await error.write(status["message"].encode())
    await error.finish()


def _exited(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _not_started(error: OSError) -> dict[str, Any]:
    message = f"error executing command in container: {error.strerror}: {error.filename}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
