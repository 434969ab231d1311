"""LaneConnections: TCP connections and UDP sessions told in JSON messages (reference protocol §2.7)."""

from collections import deque

from msgspec import UNSET

from pipeops.agent.json_dialect.answer import AnswerLane
from pipeops.agent.l4.connector import Connector
from pipeops.agent.l4.udp import UdpSession
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetRefused, TargetResolver
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.relaying import (
    TcpClose,
    TcpData,
    TcpStart,
    UdpData,
    from_base64,
    to_base64,
)
from pipeops.runtime.budget import Budget
from pipeops.runtime.logs import get_logger
from pipeops.tunnel.outbox import Outbox
from pipeops.tunnel.socket_end import SocketEnd

log = get_logger(__name__)

MAX_CONNECTIONS = 1000  # of one lane, as the Go agent
MAX_SESSIONS = 1000
CHUNK = 32 * 1024  # raw bytes of one message
MAX_UNTAKEN = (
    8 * 1024 * 1024
)  # bytes for the target that wait; the dialect has no credit to hold them
DIRECTION = "agent_to_gateway"


class LaneConnections:
    """Dials the Service that a message names. What the Go agent dials, a port of its own pod, is never dialled."""

    def __init__(
        self,
        lane: AnswerLane,
        outbox: Outbox,
        budget: Budget,
        connector: Connector,
        resolver: TargetResolver,
    ) -> None:
        self._lane = lane
        self._outbox = outbox
        self._budget = budget
        self._connector = connector
        self._resolver = resolver
        self._tcp: dict[str, JsonTcp] = {}
        self._udp: dict[tuple[str, str, int], UdpSession] = {}

    def __len__(self) -> int:
        return len(self._tcp) + len(self._udp)

    def start(self, message: Envelope) -> None:
        """`tcp_tunnel_start`."""
        connection_id = message.request_id
        if not connection_id:
            log.warning("tcp_tunnel_start without request_id dropped")
            return
        if connection_id in self._tcp:
            log.warning("tcp_tunnel_start with the id of a live connection dropped")
            return
        start = message.decode(TcpStart)
        if len(self._tcp) >= MAX_CONNECTIONS:
            self._refuse(connection_id, f"more than {MAX_CONNECTIONS} connections on one tunnel")
            return
        connection = JsonTcp(connection_id, self._lane, self._outbox, self._budget, self._tcp)
        connection.end = SocketEnd(connection, self._connector.loop)
        self._tcp[connection_id] = connection
        self._connector.connect(
            self._to(start.service_name, start.service_namespace, start.service_port),
            connection.end,
        )

    def _refuse(self, connection_id: str, error: str) -> None:
        close = TcpClose(reason="registration_failed", error=error)
        self._lane.send(close.TYPE, close, request_id=connection_id)

    def data(self, message: Envelope) -> None:
        """`tcp_tunnel_data`; for unknown connections it is late."""
        connection = self._tcp.get(message.request_id or "")
        if connection is None:
            return
        try:
            connection.push(from_base64(message.decode(TcpData).data))
        except MessageRejected as error:
            connection.give_up("write_error", error.reason)

    def close(self, message: Envelope) -> None:
        """`tcp_tunnel_close`."""
        connection = self._tcp.get(message.request_id or "")
        if connection is not None:
            connection.hang_up()

    def datagram(self, message: Envelope) -> None:
        """`udp_tunnel_data`."""
        datagram = message.decode(UdpData)
        key = (datagram.tunnel_id, datagram.client_addr, datagram.client_port)
        session = self._udp.get(key)
        if session is None or session.over:
            if len(self._udp) >= MAX_SESSIONS:
                return
            far = JsonUdp(key, self._lane, self._outbox, self._udp)
            session = self._udp[key] = far.session = UdpSession(far, self._connector.loop)
            target = self._to(
                datagram.service_name if datagram.service_name is not UNSET else "",
                datagram.service_namespace if datagram.service_namespace is not UNSET else "",
                datagram.service_port if datagram.service_port is not UNSET else 0,
            )
            self._connector.connect_udp(target, session)
        session.send(from_base64(datagram.data))

    def _to(self, name: str, namespace: str, port: int) -> "_Service":
        return _Service(self._resolver, ServiceTarget(name, namespace, port))

    def lost(self) -> None:
        """The lane is gone."""
        for connection in list(self._tcp.values()):
            connection.drop()
        for session in list(self._udp.values()):
            session.close()
        self._udp.clear()


class _Service:
    """A Destination."""

    def __init__(self, resolver: TargetResolver, target: ServiceTarget) -> None:
        self._resolver = resolver
        self._target = target

    async def __call__(self) -> tuple[Endpoint, ...]:
        if not self._target.name:
            raise TargetRefused("the message names no service, and this agent dials nothing else")
        return await self._resolver.resolve_all(self._target)


class JsonTcp:
    """The FarEnd of one connection and a Writer for the lane's outbox."""

    __slots__ = ("_budget", "_id", "_lane", "_live", "_out", "_outbox", "_over", "_untaken", "end")

    end: SocketEnd

    def __init__(
        self,
        connection_id: str,
        lane: AnswerLane,
        outbox: Outbox,
        budget: Budget,
        live: "dict[str, JsonTcp]",
    ) -> None:
        self._id = connection_id
        self._lane = lane
        self._outbox = outbox
        self._budget = budget
        self._live = live
        self._out: deque[Payload] = deque()
        self._untaken = 0
        self._over = False

    def push(self, data: bytes) -> None:
        """Bytes for the target."""
        size = len(data)
        if not size:
            return
        if self._untaken + size > MAX_UNTAKEN or not self._budget.take(size):
            self.give_up("write_error", "the service takes bytes more slowly than they come")
            return
        self._untaken += size
        self.end.write(data)

    def hang_up(self) -> None:
        """The control plane closed; as the Go agent, say so once more."""
        self.end.close()
        self._finish(TcpClose(reason="service_closed"))

    def give_up(self, reason: str, error: str) -> None:
        """End both sides."""
        self.end.abort()
        self._finish(TcpClose(reason=reason, error=error[:512]))

    def drop(self) -> None:
        """The lane is lost."""
        self.end.abort()
        self._finish(None)

    # -- FarEnd ----------------------------------------------------------------------------

    def on_bytes(self, data: bytes) -> bool:
        """FarEnd: in messages of at most 32 KiB."""
        for start in range(0, len(data), CHUNK):
            piece = TcpData(data=to_base64(data[start : start + CHUNK]), direction=DIRECTION)
            self._out.append(piece)
        self._outbox.submit(self)
        return not self._out

    def on_eof(self) -> None:
        """FarEnd: the dialect has no half-close, so this is the end of both."""
        self.end.close()
        self._finish(TcpClose(reason="service_closed"))

    def on_taken(self, size: int) -> None:
        """FarEnd."""
        self._untaken -= size
        self._budget.give_back(size)

    def on_closed(self, reason: str) -> None:
        """FarEnd: `connection_failed` if there never was one."""
        why = "service_closed" if self.end.connected else "connection_failed"
        self._finish(TcpClose(reason=why, error=reason[:512] or UNSET))

    # -- Writer ----------------------------------------------------------------------------

    def emit(self) -> bool:
        """Writer: one message."""
        if not self._out:
            return False
        payload = self._out.popleft()
        self._lane.send(payload.TYPE, payload, request_id=self._id)
        if self._out:
            return True
        if not self._over:
            self.end.resume()
        return bool(self._out)

    def close(self) -> None:
        """Writer: the lane is lost."""
        self._out.clear()

    def _finish(self, close: TcpClose | None) -> None:
        if self._over:
            return
        self._over = True
        self._live.pop(self._id, None)
        self._budget.give_back(self._untaken)
        self._untaken = 0
        if close is not None:
            self._out.append(close)
            self._outbox.submit(self)


class JsonUdp:
    """The DatagramFar of one client's session."""

    __slots__ = ("_key", "_lane", "_live", "_outbox", "session")

    session: UdpSession

    def __init__(
        self,
        key: tuple[str, str, int],
        lane: AnswerLane,
        outbox: Outbox,
        live: dict[tuple[str, str, int], UdpSession],
    ) -> None:
        self._key = key
        self._lane = lane
        self._outbox = outbox
        self._live = live

    def on_datagram(self, data: bytes) -> None:
        """DatagramFar: to this client only; lost while the control plane takes nothing."""
        if self._outbox.is_full:
            return
        tunnel_id, client_addr, client_port = self._key
        payload = UdpData(
            client_addr=client_addr,
            client_port=client_port,
            data=to_base64(data),
            direction=DIRECTION,
            tunnel_id=tunnel_id,
        )
        self._lane.send(payload.TYPE, payload)

    def on_over(self, reason: str) -> None:
        """DatagramFar."""
        if reason:
            log.info("UDP session failed", tunnel=self._key[0][:64], error=reason)
        if self._live.get(self._key) is self.session:
            del self._live[self._key]
