from datetime import UTC, datetime

import pytest

from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.negotiation import (
    Feature,
    GatewayHello,
    GatewayHelloAck,
    YamuxConfig,
    format_features,
    parse_features,
)

HELLO = (
    b'{"type":"gateway_hello","payload":{"use_yamux":true,"yamux_config":'
    b'{"max_stream_window_size":1048576,"keep_alive_interval_seconds":30,'
    b'"connection_timeout_seconds":30}},"timestamp":"2026-06-15T06:26:40.4Z"}\n'
)
ACK = (
    b'{"type":"gateway_hello_ack","payload":{"use_yamux":true},'
    b'"timestamp":"2026-06-15T06:26:40.4Z"}\n'
)
NOW = datetime(2026, 6, 15, 6, 26, 40, 400_000, UTC)


def test_hello_and_ack_are_byte_exact():
    hello = GatewayHello(
        use_yamux=True,
        yamux_config=YamuxConfig(
            max_stream_window_size=1048576,
            keep_alive_interval_seconds=30,
            connection_timeout_seconds=30,
        ),
    )
    assert envelope.encode(GatewayHello.TYPE, hello, now=NOW) == HELLO
    assert envelope.decode(HELLO).decode(GatewayHello) == hello
    assert envelope.encode(GatewayHelloAck.TYPE, GatewayHelloAck(), now=NOW) == ACK


def test_a_hello_without_yamux_asks_for_nothing():
    assert envelope.decode(b'{"type":"gateway_hello"}').decode(GatewayHello).use_yamux is False


def test_features_round_trip():
    assert format_features(Feature) == "native, no-service-account-token"
    assert parse_features(format_features(Feature)) == set(Feature)


@pytest.mark.parametrize("value", [None, "", ",,", b"\xff,native2", "x" * 100_000])
def test_rubbish_announces_nothing(value):
    assert parse_features(value) == frozenset()


def test_case_spaces_and_unknown_names_do_not_matter():
    assert parse_features(b" NATIVE ,later-thing") == {Feature.NATIVE}
