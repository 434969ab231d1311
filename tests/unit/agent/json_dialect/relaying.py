"""A relayed WebSocket whose server is the test."""

import re
from typing import Any

from pipeops.protocol.exchange.native import Framing, encode_preface
from pipeops.protocol.websocket import FrameReader, accept_key, encode_frame
from tests.unit.agent.json_dialect.bench import Bench, message

EXEC = "/api/v1/namespaces/d/pods/p/exec"


class Relaying(Bench):
    """A bench whose pool's `dial` answers handshakes when told to."""

    def __init__(self, *, waiting: int = 1 << 20) -> None:
        super().__init__(waiting=waiting)
        self.pool.dial = self.pool.send  # type: ignore[method-assign]
        self.relays = self.requests.relays

    def start(self, stream_id: str = "s1", **more: Any) -> None:
        payload = {"stream_id": stream_id, "path": EXEC} | more
        self.relays.start(message("proxy_websocket_start", payload, stream_id))

    def accept(self, protocol: str = "v4.channel.k8s.io", *, key: bytes | None = None) -> None:
        _, request = self.pool.requests[-1]
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
        assert found
        lines = b"Sec-WebSocket-Accept: %b\r\nX-App: yes\r\n" % accept_key(key or found[1])
        if protocol:
            lines += b"Sec-WebSocket-Protocol: %b\r\n" % protocol.encode()
        head = b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % lines
        preface = encode_preface(Framing.UPGRADE, 101, len(head), reusable=False)
        self.answer(preface + head)

    def refuse(self, status: int) -> None:
        head = b"HTTP/1.1 %d No\r\n\r\n" % status
        self.answer(encode_preface(Framing.NONE, status, len(head), reusable=True) + head, fin=True)

    def frame(self, opcode: int, data: bytes) -> bool:
        return self.answer(encode_frame(opcode, data))

    def received(self) -> list[tuple[int, bytes]]:
        """What the server got."""
        return FrameReader(masked=True, max_message=1 << 24).feed(self.pool.sinks[-1].data)

    def say(self, data: str, **more: Any) -> None:
        payload = {"stream_id": "s1", "data": data} | more
        self.relays.data(message("proxy_websocket_data", payload, "s1"))
