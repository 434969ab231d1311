"""WebSocket frames without I/O."""

import pytest

from pipeops.protocol import websocket as ws


def read(data: bytes, *, masked: bool = False, limit: int = 1000) -> list[tuple[int, bytes]]:
    return ws.FrameReader(masked=masked, max_message=limit).feed(data)


def test_the_accept_key_is_the_rfcs() -> None:
    assert ws.accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
@pytest.mark.parametrize("mask", [None, b"\x01\x02\x03\x04"])
def test_frames_of_every_size_survive(size: int, mask: bytes | None) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    frame = ws.encode_frame(ws.BINARY, data[:size], mask)
    assert read(frame, masked=mask is not None, limit=100_000) == [(ws.BINARY, data[:size])]


def test_frames_that_are_masked_together_are_those_masked_alone() -> None:
    messages = [bytes(range(256)) * 300, b"", b"x", b"y" * 125, b"z" * 126]
    masks = bytes(range(4 * len(messages)))
    alone = [
        ws.encode_frame(ws.TEXT, data, masks[4 * place : 4 * place + 4])
        for place, data in enumerate(messages)
    ]
    assert ws.encode_masked(ws.TEXT, messages, masks) == b"".join(alone)


def test_frames_may_come_byte_by_byte() -> None:
    reader = ws.FrameReader(masked=True, max_message=1000)
    frame = ws.encode_frame(ws.TEXT, b"x" * 200, b"abcd") + ws.encode_frame(ws.PING, b"", b"abcd")
    found = [message for byte in frame for message in reader.feed(bytes((byte,)))]
    assert found == [(ws.TEXT, b"x" * 200), (ws.PING, b"")]


def test_fragments_become_one_message_with_control_frames_between() -> None:
    first = b"\x01\x02he"
    ping = ws.encode_frame(ws.PING, b"p")
    last = b"\x80\x03llo"
    assert read(first + ping + last) == [(ws.PING, b"p"), (ws.TEXT, b"hello")]


def test_nothing_follows_a_close() -> None:
    close = ws.encode_frame(ws.CLOSE, ws.close_payload(1000, "done"))
    assert read(close + ws.encode_frame(ws.TEXT, b"late")) == [(ws.CLOSE, b"\x03\xe8done")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x80abcd", ws.PROTOCOL_ERROR),  # masked by a server
        (b"\xc1\x00", ws.PROTOCOL_ERROR),  # a reserved bit
        (b"\x83\x00", ws.PROTOCOL_ERROR),  # an unknown opcode
        (b"\x09\x00", ws.PROTOCOL_ERROR),  # a fragmented ping
        (b"\x89\x7e\x00\x80", ws.PROTOCOL_ERROR),  # a long ping
        (b"\x80\x01x", ws.PROTOCOL_ERROR),  # a continuation of nothing
        (b"\x01\x01x\x81\x01y", ws.PROTOCOL_ERROR),  # a message within a message
        (b"\x82\x7e\x03\xe9", ws.TOO_BIG),
        (b"\x82\x7f" + b"\xff" * 8, ws.TOO_BIG),
    ],
)
def test_violations_name_their_close_code(data: bytes, code: int) -> None:
    with pytest.raises(ws.WebSocketViolation) as raised:
        read(data)
    assert raised.value.code == code


def test_close_payloads() -> None:
    assert ws.read_close(ws.close_payload(4001, "ü" * 100))[0] == 4001
    assert len(ws.close_payload(1000, "ü" * 100)) <= ws.MAX_CONTROL
    assert ws.close_payload(ws.NO_CODE) == b""
    assert ws.read_close(b"") == (ws.NO_CODE, "")
