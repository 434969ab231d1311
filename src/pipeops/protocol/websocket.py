"""WebSocket frames (RFC 6455) without I/O, either role, no extensions: for relayed WebSockets, not for the tunnel's own."""

import base64
import hashlib
import struct
from collections.abc import Sequence
from typing import Final

from pipeops.protocol.errors import RemoteProtocolError

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005  # a close frame without one; never sent
ABNORMAL: Final = 1006  # no close frame; never sent
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

MAX_CONTROL: Final = 125
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))


class WebSocketViolation(RemoteProtocolError):
    """The peer broke RFC 6455, or a limit; `code` is what its close frame shall say."""

    def __init__(self, reason: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(reason)
        self.code = code


def accept_key(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` for a client's key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def encode_frame(opcode: int, data: bytes, mask: bytes | None = None) -> bytes:
    """One final frame; `mask` is four random bytes from a client, None from a server."""
    head = _frame_head(opcode, len(data), 0x80 if mask else 0)
    return head + data if mask is None else b"".join((head, mask, apply_mask(data, mask)))


def encode_masked(opcode: int, messages: Sequence[bytes], masks: bytes) -> bytes:
    """A client's final frames of several messages; `masks` has four random bytes for each. One XOR masks them all."""
    parts: list[bytes] = []
    stream: list[bytes] = []
    for place, data in enumerate(messages):
        size = len(data)
        mask = masks[4 * place : 4 * place + 4]
        stream.append((mask * (size // 4 + 1))[:size])
        parts += (_frame_head(opcode, size, 0x80), mask, data)
    together = _xor(b"".join(messages), b"".join(stream))
    position = 0
    for place, data in enumerate(messages):
        parts[3 * place + 2] = together[position : position + len(data)]
        position += len(data)
    return b"".join(parts)


def _frame_head(opcode: int, size: int, bit: int) -> bytes:
    if size < 126:
        return struct.pack(">BB", 0x80 | opcode, bit | size)
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, bit | 126, size)
    return struct.pack(">BBQ", 0x80 | opcode, bit | 127, size)


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame holds; reasons are cut at a character."""
    if code in (NO_CODE, ABNORMAL):
        return b""
    text = reason.encode()[: MAX_CONTROL - 2].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame."""
    if len(payload) < 2:
        return NO_CODE, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """XOR with the repeated mask, over all of it at once (RFC 6455 §5.3)."""
    size = len(data)
    return _xor(data, (mask * (size // 4 + 1))[:size])


def _xor(data: bytes, stream: bytes) -> bytes:
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return mixed.to_bytes(len(data), "little")


class FrameReader:
    """Puts messages together from bytes as they come.

    Args:
        masked: frames must carry a mask (the peer is a client), or must not.
        max_message: bytes of a message, all fragments together.
    """

    def __init__(self, *, masked: bool, max_message: int) -> None:
        self._masked = masked
        self._max = max_message
        self._buffer = bytearray()
        self._message = bytearray()
        self._kind = CONTINUATION
        self.closed = False

    def feed(self, data: bytes | memoryview) -> list[tuple[int, bytes]]:
        """Whole messages and control frames, in order, as opcode and payload; after a close frame nothing.

        Raises:
            WebSocketViolation: nothing that follows can be understood.
        """
        self._buffer += data
        found: list[tuple[int, bytes]] = []
        while not self.closed:
            frame = self._take()
            if frame is None:
                break
            final, opcode, payload = frame
            if opcode >= CLOSE:
                self.closed = opcode == CLOSE
                found.append((opcode, payload))
            else:
                self._collect(opcode, payload)
                if final:
                    found.append((self._kind, bytes(self._message)))
                    self._message.clear()
                    self._kind = CONTINUATION
        return found

    def _collect(self, opcode: int, payload: bytes) -> None:
        if (opcode == CONTINUATION) is not (self._kind != CONTINUATION):
            raise WebSocketViolation("fragments out of order")
        if opcode != CONTINUATION:
            self._kind = opcode
        self._message += payload

    def _take(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, size, offset = first & 0x0F, second & 0x7F, 2
        if first & 0x70 or opcode not in _OPCODES:
            raise WebSocketViolation("a frame with unknown bits or opcode")
        if bool(second & 0x80) is not self._masked:
            raise WebSocketViolation("a frame masked by the wrong side")
        if opcode >= CLOSE and (size > MAX_CONTROL or not first & 0x80):
            raise WebSocketViolation("an oversized or fragmented control frame")
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return None
            size, offset = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
        if opcode < CLOSE and size + len(self._message) > self._max:
            raise WebSocketViolation(f"a message of more than {self._max} bytes", TOO_BIG)
        mask = b""
        if self._masked:
            mask = bytes(buffer[offset : offset + 4])
            offset += 4
        if len(buffer) < offset + size:
            return None
        payload = bytes(buffer[offset : offset + size])
        del buffer[: offset + size]
        return bool(first & 0x80), opcode, apply_mask(payload, mask) if mask else payload
