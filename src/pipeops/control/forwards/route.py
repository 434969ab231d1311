"""How a forward's connection becomes a stream: which agent, which dialect, which head."""

import os
from dataclasses import dataclass

from pipeops.control.sessions.registry import AgentInstance, Lane, SessionRegistry
from pipeops.control.store.forwards import Forward
from pipeops.protocol.errors import SessionClosed, StreamLimitReached
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, StreamHead, StreamKind, encode_head
from pipeops.protocol.exchange.opening import (
    FORWARD_PREFIX,
    StreamOpening,
    TunnelProtocol,
    encode_opening,
    read_service,
)
from pipeops.protocol.mux.sink import NULL_SINK
from pipeops.protocol.mux.stream import Stream


class NoRoute(Exception):
    """The forward leads nowhere now; the text says why."""


class RouteBusy(NoRoute):
    """The tunnel takes no further stream at this moment; try again soon."""


@dataclass(frozen=True, slots=True)
class Route:
    """A stream whose head has been sent; the caller sets its sink."""

    stream: Stream
    lane: Lane


def open_route(registry: SessionRegistry, forward: Forward, *, now: float) -> Route:
    """Open a stream to a forward's target.

    Raises:
        NoRoute: no agent, or none that can carry this forward.
        RouteBusy: not now.
    """
    instance = registry.pick(forward.cluster_name.encode())
    if instance is None:
        raise NoRoute("the cluster's agent is not connected")
    head = head_of(forward, instance)
    lane = instance.best_lane(now)
    session = lane.link.session if lane is not None else None
    if lane is None or session is None:
        raise NoRoute("the cluster's agent has no multiplexed tunnel")
    try:
        stream = session.open(NULL_SINK)
    except StreamLimitReached as error:
        raise RouteBusy(str(error)) from error
    except SessionClosed as error:
        raise NoRoute(str(error)) from error
    stream.send(head)
    return Route(stream, lane)


def head_of(forward: Forward, instance: AgentInstance) -> bytes:
    """The first bytes of the stream in the dialect of the agent.

    Raises:
        NoRoute: the dialect cannot say it.
    """
    if instance.native:
        target = FORWARD_PREFIX + forward.name if forward.by_agent else forward.target
        kind = StreamKind.UDP if forward.protocol == "udp" else StreamKind.TCP
        head = StreamHead(kind, 0, 0, UNKNOWN_LENGTH, os.urandom(16), target.encode(), b"", b"")
        return encode_head(head)
    service = read_service(forward.target)
    if service is None:
        raise NoRoute("this agent reaches Services only")
    if forward.protocol == "udp":
        raise NoRoute("this agent's tunnel loses the boundaries of datagrams")
    name, namespace, port = service
    tunnel_id = f"tcp-{forward.name}-{forward.port}"[:253]
    return encode_opening(StreamOpening(TunnelProtocol.TCP, port, name, namespace, tunnel_id))
