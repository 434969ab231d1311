"""Relayed WebSockets and connections as messages."""

import pytest

from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.messages.relaying import (
    TcpData,
    WebSocketData,
    from_base64,
    pack_frame,
    to_base64,
)


def test_a_frame_is_its_opcode_and_payload() -> None:
    assert WebSocketData(data=pack_frame(1, b"ls")).frame() == (1, b"ls")


def test_message_type_stands_in_for_a_missing_opcode() -> None:
    assert WebSocketData(data=to_base64(b"raw"), message_type=2).frame() == (2, b"raw")
    assert WebSocketData(data="", message_type=1).frame() == (1, b"")


@pytest.mark.parametrize(
    "data",
    [WebSocketData(data="cmF3"), WebSocketData(data=""), WebSocketData(data="*", message_type=1)],
)
def test_a_message_without_an_opcode_is_rejected(data: WebSocketData) -> None:
    with pytest.raises(MessageRejected):
        data.frame()


def test_base64_is_strict() -> None:
    assert from_base64(to_base64(b"\x00\xff")) == b"\x00\xff"
    with pytest.raises(MessageRejected):
        from_base64(TcpData(data="a b").data)
