"""RelayKube: exec, attach and port-forward to agents without multiplexing, as relayed WebSocket messages (§2.6.1, §9.1)."""

import base64
import binascii
import re
from collections import deque
from urllib.parse import parse_qs

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.pipeops_dialect.exchange import CallLater
from pipeops.control.edge.pipeops_dialect.identity import request_headers
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.protocol.exchange.native import Framing
from pipeops.protocol.exchange.pipeops import to_header_map
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.proxying import ProxyError
from pipeops.protocol.messages.relaying import (
    WebSocketClose,
    WebSocketData,
    WebSocketStart,
    pack_frame,
)
from pipeops.protocol.websocket import (
    BINARY,
    CLOSE,
    GOING_AWAY,
    NORMAL,
    PING,
    PONG,
    TEXT,
    FrameReader,
    WebSocketViolation,
    accept_key,
    close_payload,
    encode_frame,
)
from pipeops.runtime.secrets import Secret

CHANNELS = "v4.base64.channel.k8s.io"  # the only way to keep channels apart through a Go agent
_CHANNEL_PROTOCOLS = (b"v4.channel.k8s.io", b"v5.channel.k8s.io")
_TUNNELLED = b"SPDY/3.1+portforward.k8s.io"
OPENING_TIMEOUT = 10.0  # seconds for the first sign of life; the wire has no acknowledgement
MAX_CLIENT_MESSAGE = 1024 * 1024
MAX_HELD = 8 * 1024 * 1024  # for a client that reads slowly; there is no credit to send
_CLOSE_CHANNEL = 255  # of v5: a channel ends; v4 cannot say it
_STATUS = re.compile(r"status:? (\d{3})")

NO_HALF_CLOSE = (
    "this agent has no multiplexed tunnel, so the end of standard input cannot be sent: "
    "leave out -i, or use -it; or update the agent"
)
NO_RELAYS = (
    "exec, attach, cp and port-forward need a multiplexed tunnel or relayed WebSockets, and this agent has "
    "neither; update it, or install pipeops-agent"
)
NO_SPDY = (
    "this agent has no multiplexed tunnel: only WebSocket clients can exec, attach and port-forward"
)


class RelayKube:
    """Opens relays. The principal has been checked."""

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later

    def open(
        self,
        request: ClientRequest,
        client: Client,
        requests: JsonLane,
        credential: Secret[str],
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        """Start a relay; None if the request has been answered."""
        block = request.block
        key = block.value(b"sec-websocket-key")
        if block.upgrade != b"websocket" or key is None:
            client.fail(501, NO_SPDY, Hop.AGENT)
            return None
        if WebSocketStart.TYPE in requests.unknown:
            client.fail(501, NO_RELAYS, Hop.AGENT)
            return None
        offered = [
            part.strip() for part in (block.value(b"sec-websocket-protocol") or b"").split(b",")
        ]
        agreed = next((name for name in (*_CHANNEL_PROTOCOLS, _TUNNELLED) if name in offered), None)
        if agreed is None:
            client.fail(400, "none of the offered subprotocols can be relayed", Hop.CONTROL_PLANE)
            return None
        raw_path, _, raw_query = path.partition(b"?")
        query = parse_qs(raw_query.decode("latin-1"))
        if agreed != _TUNNELLED and _wants_eof(query):
            client.fail(501, NO_HALF_CLOSE, Hop.AGENT)
            return None
        if requests.full:
            client.fail(503, "too many requests are under way", Hop.TUNNEL, retry_after=1)
            return None
        if b"%" in raw_path:
            client.fail(400, "the agent of this cluster cannot carry an escaped path", Hop.AGENT)
            return None
        relay = KubeRelay(requests, client, request.request_id.decode(), key, agreed)
        headers = to_header_map(request_headers(block, grant.principal, credential))
        start = WebSocketStart(
            stream_id=relay.relay_id,
            path=raw_path.decode("ascii"),
            query=raw_query.decode("latin-1"),
            protocol=CHANNELS if agreed != _TUNNELLED else _TUNNELLED.decode(),
            headers=headers | {"Audit-Id": [relay.relay_id]},
        )
        relay.start(start, self._call_later)
        return relay


def _wants_eof(query: dict[str, list[str]]) -> bool:
    """Standard input without a terminal: the command waits for its end."""
    return query.get("stdin") in (["true"], ["1"]) and query.get("tty") not in (["true"], ["1"])


class KubeRelay:
    """An Exchange for the client, a Relayed for the lane, a Writer for its outbox."""

    ends_at_once = False

    __slots__ = (
        "_agreed", "_begun", "_client", "_held", "_held_bytes", "_key", "_lane", "_out", "_over", "_paused",
        "_reader", "relay_id",
    )  # fmt: skip

    def __init__(
        self, lane: JsonLane, client: Client, relay_id: str, key: bytes, agreed: bytes
    ) -> None:
        self.relay_id = relay_id
        self._lane = lane
        self._client = client
        self._key = key
        self._agreed = agreed
        self._reader = FrameReader(masked=True, max_message=MAX_CLIENT_MESSAGE)
        self._begun = False
        self._over = False
        self._paused = False
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._out: deque[Payload] = deque()

    def start(self, start: WebSocketStart, call_later: CallLater) -> None:
        """Ask the agent; the client hears of it with the first sign of life."""
        self._lane.add_relay(self.relay_id, self)
        self._say(start)
        if self._agreed == _TUNNELLED:
            call_later(0, self._begin)  # its server waits for the client's first bytes
        else:
            call_later(OPENING_TIMEOUT, self._begin)

    def _begin(self) -> None:
        if self._begun or self._over:
            return
        self._begun = True
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n"
            % (accept_key(self._key), self._agreed)
        )
        self._paused = not self._client.begin(head, Framing.UPGRADE, 101, reusable=False)

    # -- Exchange: client → agent ----------------------------------------------------------

    def on_body(self, data: memoryview, last: bool) -> None:  # noqa: FBT001 - Exchange's signature
        """Exchange: the client's frames."""
        if self._over:
            return
        try:
            for opcode, payload in self._reader.feed(data):
                self._on_frame(opcode, payload)
        except WebSocketViolation as error:
            self._hang_up(error.code)
            return
        if last and not self._over:
            self._hang_up(GOING_AWAY)

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if self._over:
            return
        if opcode == PING:
            self._write(encode_frame(PONG, payload))
        elif opcode == CLOSE:
            self._hang_up(NORMAL)
        elif opcode in (TEXT, BINARY):
            if self._agreed != _TUNNELLED:
                if not payload or payload[0] == _CLOSE_CHANNEL or payload[0] > 9:
                    return
                payload = b"%d" % payload[0] + base64.b64encode(payload[1:])
            data = pack_frame(BINARY, payload)
            self._say(
                WebSocketData(
                    data=data,
                    message_type=BINARY,
                    request_id=self.relay_id,
                    stream_id=self.relay_id,
                )
            )

    def on_client_writable(self) -> None:
        """Exchange: pass on what was kept."""
        self._paused = False
        while self._held and not self._paused:
            data = self._held.popleft()
            self._give_back(len(data))
            self._paused = not self._client.write(data)
        if self._over and not self._held:
            self._client.finish()

    def on_client_gone(self) -> None:
        """Exchange: the agent shall stop."""
        if not self._over:
            self._finish()
            self._say_close()
        self._forget_held()

    # -- Relayed: agent → client -----------------------------------------------------------

    def on_relayed(self, message: Envelope) -> None:
        """Relayed: one message of the agent.

        Raises:
            MessageRejected: it makes no sense.
        """
        if self._over:
            return
        if message.type == WebSocketClose.TYPE:
            self._ended(NORMAL)
        elif message.type == ProxyError.TYPE:
            self._failed(message.decode(ProxyError).error)
        else:
            self._begin()
            opcode, payload = message.decode(WebSocketData).frame()
            if opcode == CLOSE:
                self._ended(NORMAL)
            elif opcode in (TEXT, BINARY):
                self._write(encode_frame(BINARY, self._decoded(payload)))

    def _decoded(self, payload: bytes) -> bytes:
        if self._agreed == _TUNNELLED:
            return payload
        if not payload[:1].isdigit():
            raise MessageRejected("a message without a channel")
        try:
            return bytes((payload[0] - 0x30,)) + base64.b64decode(payload[1:], validate=True)
        except binascii.Error as error:
            raise MessageRejected("a message that is not base64") from error

    def broken(self, reason: str) -> None:
        """Relayed: the agent said something unusable."""
        if not self._over:
            self._say_close()
            self._failed(f"the agent's message is unusable: {reason}")

    def on_lost(self) -> None:
        """Relayed: the tunnel is gone."""
        if self._over:
            return
        begun = self._begun
        self._finish()
        if begun:
            self._client.abort("the tunnel to the cluster's agent was lost")
        else:
            self._client.fail(502, "the tunnel to the cluster's agent was lost", Hop.TUNNEL)

    def _failed(self, reason: str) -> None:
        if self._begun:
            self._ended(1011)
            return
        found = _STATUS.search(reason)
        status = int(found[1]) if found and 400 <= int(found[1]) < 600 else 502
        self._finish()
        if status == 401:  # of the credential we sent, not of the user's
            self._lane.ask_to_register()
            status = 503
        text = "".join(char if char.isprintable() else " " for char in reason[:512])
        self._client.fail(status, text, Hop.KUBE_API)

    def _ended(self, code: int) -> None:
        if not self._begun:
            self._failed("it closed before anything was sent")
            return
        self._write(encode_frame(CLOSE, close_payload(code)))
        self._finish()
        if not self._held:
            self._client.finish()

    def _hang_up(self, code: int) -> None:
        self._say_close()
        self._ended(code)

    def _say_close(self) -> None:
        self._out.clear()
        self._say(WebSocketClose(stream_id=self.relay_id))

    # -- the way out -----------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if not self._paused and not self._held:
            self._paused = not self._client.write(data)
            return
        if self._held_bytes + len(data) > MAX_HELD or not self._lane.budget.take(len(data)):
            self._say_close()
            self._finish()
            self._forget_held()
            self._client.abort("the client reads too slowly for the PipeOps dialect")
            return
        self._held.append(data)
        self._held_bytes += len(data)

    def _say(self, payload: Payload) -> None:
        self._out.append(payload)
        self._lane.outbox.submit(self)
        if self._out and self._begun:
            self._client.pause_body()

    def emit(self) -> bool:
        """Writer: one message."""
        if not self._out:
            return False
        self._lane.send(self._out.popleft(), self.relay_id)
        if not self._out and self._begun and not self._over:
            self._client.resume_body()
        return bool(self._out)

    def close(self) -> None:
        """Writer: the lane is lost."""
        self._out.clear()

    def _finish(self) -> None:
        self._over = True
        self._lane.remove(self.relay_id)

    def _give_back(self, size: int) -> None:
        self._held_bytes -= size
        self._lane.budget.give_back(size)

    def _forget_held(self) -> None:
        self._lane.budget.give_back(self._held_bytes)
        self._held_bytes = 0
        self._held.clear()
