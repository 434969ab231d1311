"""Kubernetes' channels on a WebSocket: the first byte of a message says which stream it is of."""

import base64
import binascii
from collections.abc import Iterable

from pipeops.sim.streaming.conversation import ProtocolError, deliver
from pipeops.sim.streaming.pipes import Pipe
from pipeops.sim.streaming.websocket import BINARY, TEXT, WebSocket

CLOSE_CHANNEL = 255
"""v5: a message on this channel half-closes the channel that its second byte names."""
V5, V4, V4_BASE64 = "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"
PLAIN, PLAIN_BASE64 = "channel.k8s.io", "base64.channel.k8s.io"


class Channel:
    """One numbered stream; what the client sends waits in `inbox`."""

    is_terminal = False

    def __init__(self, socket: WebSocket, number: int, *, text: bool) -> None:
        self.number = number
        self.inbox = Pipe()
        self._socket = socket
        self._text = text

    async def write(self, data: bytes) -> None:
        """Send bytes, in base64 where the protocol wants text; ConnectionError: the client is gone."""
        if self._text:
            await self._socket.send(b"%d" % self.number + base64.b64encode(data), TEXT)
        else:
            await self._socket.send(bytes([self.number]) + data, BINARY)

    async def finish(self) -> None:
        """WebSocket channels have no half close towards the client."""


class WebSocketChannels:
    """The channels of one WebSocket. Bytes for a channel that is not `readable` are ignored."""

    def __init__(
        self, socket: WebSocket, protocol: str, count: int, readable: Iterable[int]
    ) -> None:
        self.socket = socket
        self._text = "base64" in protocol
        self._half_close = protocol == V5
        self._readable = frozenset(readable)
        self.channels = [Channel(socket, number, text=self._text) for number in range(count)]

    async def pump(self) -> None:
        """Sort messages into the channels until the client closes or is gone; then end them all."""
        try:
            while (message := await self.socket.receive()) is not None:
                await self._sort(message)
        finally:
            for channel in self.channels:
                channel.inbox.abort()

    async def _sort(self, message: bytes) -> None:
        if not message:
            return
        if self._half_close and message[0] == CLOSE_CHANNEL:
            if len(message) == 2 and message[1] in self._readable:
                self.channels[message[1]].inbox.finish()
            return
        number = message[0] - ord("0") if self._text else message[0]
        if number not in self._readable:
            return
        data = message[1:]
        if self._text:
            try:
                data = base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise ProtocolError(f"channel {number}: {error}") from error
        await deliver(self.channels[number].inbox, data, self.socket.ping)
