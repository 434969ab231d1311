"""L4Kube: requests to a Go agent's cluster by TLS end to end, over raw streams to `kubernetes.default:443`.

Reference protocol §9.1, item 7: no 30 s limit, real cancellation and back-pressure, exec and port-forward. The
cluster's CA comes from `kube-root-ca.crt` by one JSON request.
"""

import secrets
from collections.abc import Callable

import msgspec

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.kube import is_watch
from pipeops.control.edge.l4.exchange import L4Exchange
from pipeops.control.edge.l4.lane import L4Lane, L4Unavailable
from pipeops.control.edge.l4.tls_stream import PlaintextBuffer
from pipeops.control.edge.pipeops_dialect.fetch import FetchFailed, fetch
from pipeops.control.edge.pipeops_dialect.identity import identity_headers
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.http1.tls import TlsConfigError, cluster_context
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

log = get_logger(__name__)

CA_TARGET = b"/api/v1/namespaces/default/configmaps/kube-root-ca.crt"
FETCH_TIMEOUT = 15.0
PROVE_AGAIN = 60.0  # seconds after a lane turned out not to carry raw streams
MAX_CACHED_LINES = 512


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] = {}


class LaneState:
    """What is known of one lane."""

    __slots__ = ("l4", "proving", "retry_at", "waiting", "why")

    def __init__(self, l4: L4Lane) -> None:
        self.l4 = l4
        self.proving = False
        self.retry_at = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.why = ""


class L4Kube:
    """Uses a lane only after it has been proved to work."""

    def __init__(self, scope: TaskScope, *, now: Callable[[], float]) -> None:
        self._scope = scope
        self._now = now
        self._buffer = PlaintextBuffer()
        self._lines: dict[tuple[bytes, Principal, Secret[str]], bytes] = {}

    def ready(self, requests: JsonLane, lane: Lane) -> bool:
        """Raw streams of this lane are known to reach the API server."""
        state = requests.raw
        return isinstance(state, LaneState) and state.l4.ready and lane.link.session is not None

    def prove(
        self, requests: JsonLane, lane: Lane, instance: AgentInstance, principal: Principal
    ) -> LaneState | None:
        """Begin to find out, unless that was tried just now; None when it makes no sense yet."""
        if lane.link.session is None or instance.credential is None:
            return None
        state = requests.raw
        if not isinstance(state, LaneState):
            state = requests.raw = LaneState(L4Lane(lane, self._buffer, now=self._now))
        if state.proving or state.l4.ready or self._now() < state.retry_at:
            return state
        state.proving = True
        try:
            self._scope.spawn(self._prove(state, requests, instance, principal), name="raw streams")
        except (TooManyTasksError, ScopeClosedError):
            state.proving = False
        return state

    async def _prove(
        self, state: LaneState, requests: JsonLane, instance: AgentInstance, principal: Principal
    ) -> None:
        try:
            ca = await self._fetch_ca(requests, instance, principal)
            await state.l4.prove(cluster_context(ca=ca, origin="kube-root-ca.crt"))
            log.info("API server reached by raw streams", cluster=instance.cluster_name)
        except (FetchFailed, L4Unavailable, TlsConfigError) as error:
            state.why = str(error)
            state.retry_at = self._now() + PROVE_AGAIN
            log.info(
                "no raw streams to this cluster, JSON is used",
                cluster=instance.cluster_name,
                reason=str(error),
            )
        finally:
            state.proving = False
            waiting, state.waiting = state.waiting, []
            for go_on in waiting:
                go_on()

    async def _fetch_ca(
        self, requests: JsonLane, instance: AgentInstance, principal: Principal
    ) -> bytes:
        """The cluster's CA, as the user who asks first: everybody may read it who may read anything."""
        credential = instance.credential
        if credential is None:
            raise FetchFailed("the agent registered no credential")
        request_id = secrets.token_hex(16)
        headers = [
            *identity_headers(principal, credential),
            (b"Accept", b"application/json"),
        ]
        status, body = await fetch(requests, CA_TARGET, headers, request_id, within=FETCH_TIMEOUT)
        if status != 200:
            raise FetchFailed(f"kube-root-ca.crt cannot be read: status {status}")
        try:
            pem = msgspec.json.decode(body, type=_ConfigMap).data.get("ca.crt", "")
        except msgspec.MsgspecError as error:
            raise FetchFailed("kube-root-ca.crt is not a ConfigMap") from error
        if not pem:
            raise FetchFailed("kube-root-ca.crt is empty")
        return pem.encode()

    # -- requests --------------------------------------------------------------------------

    def open(
        self,
        request: ClientRequest,
        client: Client,
        requests: JsonLane,
        credential: Secret[str],
        path: bytes,
        grant: Grant,
    ) -> Exchange:
        """Start a request on a lane that is `ready`."""
        state = requests.raw
        assert isinstance(state, LaneState)  # noqa: S101 - `ready` said so
        exchange = self._exchange(request, client, requests, state)
        self._start(exchange, request, path, grant, credential)
        return exchange

    def open_later(
        self,
        request: ClientRequest,
        client: Client,
        requests: JsonLane,
        state: LaneState,
        credential: Secret[str],
        path: bytes,
        grant: Grant,
    ) -> Exchange:
        """Start an upgrade as soon as the lane has been proved; nothing else could carry it."""
        exchange = self._exchange(request, client, requests, state)

        def go_on() -> None:
            if exchange.over:
                return
            if state.l4.ready:
                self._start(exchange, request, path, grant, credential)
            else:
                exchange.fail(
                    502,
                    f"exec, attach, cp and port-forward need a raw stream to the Kubernetes API server, and that failed: {state.why}",
                    Hop.AGENT,
                )

        if state.proving:
            state.waiting.append(go_on)
        else:
            go_on()
        return exchange

    def _exchange(
        self, request: ClientRequest, client: Client, requests: JsonLane, state: LaneState
    ) -> L4Exchange:
        watch = is_watch(request.target)
        return L4Exchange(request, client, state.l4, requests.ask_to_register, watch=watch)

    def _start(
        self,
        exchange: L4Exchange,
        request: ClientRequest,
        path: bytes,
        grant: Grant,
        credential: Secret[str],
    ) -> None:
        lines = self._render(request.block.forwarded, grant.principal, credential)
        exchange.start(path, b"%bAudit-Id: %b\r\n" % (lines, request.request_id))

    def _render(self, forwarded: bytes, principal: Principal, credential: Secret[str]) -> bytes:
        key = (forwarded, principal, credential)
        lines = self._lines.get(key)
        if lines is None:
            identity = identity_headers(principal, credential)
            lines = b"Host: kubernetes.default.svc\r\n" + forwarded
            lines += b"".join(b"%b: %b\r\n" % header for header in identity)
            if len(self._lines) >= MAX_CACHED_LINES:
                self._lines.pop(next(iter(self._lines)))
            self._lines[key] = lines
        return lines
