from datetime import UTC, datetime

import pytest

from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.control import ErrorMessage, Ping, Pong, ProtocolFallback, StreamEnd
from pipeops.protocol.messages.payload import MessageRejected, decode_payload

NOW = datetime(2026, 6, 15, 6, 26, 40, tzinfo=UTC)


def test_ping_and_pong():
    assert envelope.encode(Ping.TYPE, Ping(), request_id="p", now=NOW) == (
        b'{"type":"ping","request_id":"p","payload":{},"timestamp":"2026-06-15T06:26:40Z"}\n'
    )
    pong = Pong(timestamp=envelope.format_time(NOW))
    assert envelope.encode(Pong.TYPE, pong, request_id="p", now=NOW) == (
        b'{"type":"pong","request_id":"p","payload":{"timestamp":"2026-06-15T06:26:40Z"},'
        b'"timestamp":"2026-06-15T06:26:40Z"}\n'
    )


@pytest.mark.parametrize(
    ("payload", "asks"),
    [
        (b'{"error":"Cluster Not Found in workspace"}', True),
        (b'{"error":"agent not registered"}', True),
        (b'{"error":"database down"}', False),
        (b'{"error":"not registered","x_code":"superseded"}', False),
        (b'{"error":"?","x_code":"not_registered"}', True),
        (b'{"error":7}', False),
        (b"{}", False),
    ],
)
def test_error_says_whether_to_register_again(payload, asks):
    assert decode_payload(payload, ErrorMessage).asks_to_register is asks


def test_stream_end_round_trip_and_needs_its_stream():
    end = StreamEnd(stream=4, code="backend_lost", hop="kube-apiserver", message="gone")
    line = envelope.encode(StreamEnd.TYPE, end, now=NOW)
    assert envelope.decode(line).decode(StreamEnd) == end
    with pytest.raises(MessageRejected, match="stream"):
        decode_payload(b'{"stream":"4","code":"x"}', StreamEnd)


def test_fallback_has_the_go_map_order():
    names = list(ProtocolFallback.__struct_encode_fields__)
    assert names == sorted(names)
