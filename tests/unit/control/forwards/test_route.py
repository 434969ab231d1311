"""How a forward's connection becomes a stream."""

from dataclasses import replace
from typing import Any

import pytest

from pipeops.control.forwards.route import NoRoute, open_route
from pipeops.protocol.exchange.native import StreamKind, decode_head
from pipeops.protocol.exchange.opening import TunnelProtocol, decode_opening
from tests.unit.control.forwards.routes import FORWARD, Registry


def head(registry: Any, forward: Any) -> bytes:
    stream: Any = open_route(registry, forward, now=0.0).stream
    return bytes(stream.sent)


@pytest.mark.parametrize(
    ("forward", "kind", "target"),
    [
        (FORWARD, StreamKind.TCP, b"pg.db:5432"),
        (replace(FORWARD, by_agent=True), StreamKind.TCP, b"forward:pg"),
        (replace(FORWARD, by_agent=True, protocol="udp"), StreamKind.UDP, b"forward:pg"),
    ],
)
def test_our_agents_get_a_native_head(forward: Any, kind: StreamKind, target: bytes) -> None:
    decoded = decode_head(head(Registry(), forward))
    assert (decoded.kind, decoded.target) == (kind, target)


def test_go_agents_get_the_version_1_header() -> None:
    decoded = decode_opening(head(Registry(native=False), FORWARD))
    assert decoded is not None
    opening, _ = decoded
    assert (opening.protocol, opening.service, opening.namespace, opening.port) == (
        TunnelProtocol.TCP,
        "pg",
        "db",
        5432,
    )


@pytest.mark.parametrize(
    ("registry", "forward", "said"),
    [
        (Registry(native=None), FORWARD, "not connected"),
        (Registry(native=False), replace(FORWARD, protocol="udp"), "datagrams"),
        (Registry(native=False), replace(FORWARD, target="localhost:1"), "Services only"),
    ],
)
def test_what_leads_nowhere_says_why(registry: Any, forward: Any, said: str) -> None:
    with pytest.raises(NoRoute, match=said):
        open_route(registry, forward, now=0.0)


def test_a_session_that_takes_no_more() -> None:
    registry = Registry()
    registry.session.closed = True
    with pytest.raises(NoRoute, match="draining"):
        open_route(registry, FORWARD, now=0.0)  # type: ignore[arg-type]
    assert registry.instance is not None
    registry.instance.lanes[0].link.session = None
    with pytest.raises(NoRoute, match="no multiplexed tunnel"):
        open_route(registry, FORWARD, now=0.0)  # type: ignore[arg-type]
