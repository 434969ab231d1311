"""Fuzz target: any bytes either decode or are rejected, and what decodes re-encodes to itself."""

from datetime import UTC, datetime

from pipeops.protocol.messages import control, envelope, heartbeat, negotiation, registration
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.messages.proxying import parse_request
from tests.fuzz import harness

KINDS = (
    control.ErrorMessage,
    control.StreamEnd,
    heartbeat.Heartbeat,
    negotiation.GatewayHello,
    registration.Register,
    registration.RegisterSuccess,
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def check(data: bytes) -> None:
    try:
        got = envelope.decode(data, max_bytes=65_536)
    except MessageRejected:
        return
    line = envelope.encode(got.type, got.payload, request_id=got.request_id, now=NOW)
    again = envelope.decode(line)
    assert (again.type, again.request_id) == (got.type, got.request_id)
    for kind in KINDS:
        try:
            payload = got.decode(kind)
        except MessageRejected:
            continue
        line = envelope.encode(kind.TYPE, payload, now=NOW)
        assert envelope.decode(line).decode(kind) == payload
    try:
        parse_request(got.payload, max_body=65_536)
    except MessageRejected:
        return


if __name__ == "__main__":
    harness.main("envelope", check)
