"""Fuzz target: whatever an HTTP/2 Service sends, the connection raises nothing and every request on it ends."""

from pipeops.agent.services.h2_connection import H2Connection
from tests.fuzz import harness
from tests.unit.agent.services.h2_pieces import Asked, Loop, Owner, Wire


def check(data: bytes) -> None:
    wire = Wire()
    connection = H2Connection(Owner(), Loop(), tls=False)  # type: ignore[arg-type]
    connection.connection_made(wire)
    asked = [Asked() for _ in range(3)]
    for each in asked:
        connection.take(each.exchange)
    size = 1 + len(data) % 50
    for start in range(0, len(data), size):
        if wire.closed:
            break
        connection.data_received(data[start : start + size])
    connection.connection_lost(None)
    for each in asked:
        ended = each.stream.local_finished or each.stream.was_reset
        assert ended or each.way.again_for


if __name__ == "__main__":
    harness.main("h2", check)
