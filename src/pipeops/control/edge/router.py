"""Router: which handler answers a request, and for whom."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from pipeops.control.auth.authenticator import Authenticator
from pipeops.control.auth.errors import AuthenticationUnavailable, Unauthenticated
from pipeops.control.auth.grants import Grant
from pipeops.control.edge.api_relay import ApiRelay
from pipeops.control.edge.connection import ClientConnection
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.kube import KubeExchange, is_watch
from pipeops.control.edge.permit import Permit
from pipeops.control.sessions.acceptor import AGENT_PATH, GATEWAY_PATH, SEED_PATH, AgentAcceptor
from pipeops.control.sessions.registry import AgentInstance, SessionRegistry
from pipeops.control.store.errors import NotFound, StoreError
from pipeops.protocol.errors import SessionClosed, StreamLimitReached
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import ALLOWED_UPGRADES
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

KUBE_PREFIX = b"/k8s/"
RETRY_AFTER = 1  # seconds
OVERLOADED = "the control plane keeps too much for slow clients and agents; try again"


class ClusterNames(Protocol):
    """Whether a cluster exists, asked only when it is not connected."""

    async def exists(self, name: str) -> bool:
        """A cluster of this name is registered."""


class KubeHandler(Protocol):
    """Requests to clusters whose agent speaks another dialect than ours."""

    def open(
        self,
        request: ClientRequest,
        client: Client,
        instance: AgentInstance,
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        """Start a request; None if it has been answered."""


class Router:
    """One for each listener; synchronous for everything that is already known.

    Auth classes: `/health` and `/ready` are public, the agent endpoint takes cluster tokens, `/k8s/` takes user
    tokens, everything under `/api/` is judged by the API itself. There is nothing else.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        acceptor: AgentAcceptor,
        registry: SessionRegistry,
        clusters: ClusterNames,
        api: ApiRelay,
        pipeops_kube: KubeHandler,
        scope: TaskScope,
        ready: Callable[[], str | None],
    ) -> None:
        self._authenticator = authenticator
        self._acceptor = acceptor
        self._registry = registry
        self._clusters = clusters
        self._api = api
        self._pipeops_kube = pipeops_kube
        self._scope = scope
        self._ready = ready

    def open(self, request: ClientRequest, connection: ClientConnection) -> Exchange | None:
        """RequestRouter: start answering; None when answered, or decided later."""
        target = request.target
        permit = connection.permit
        if (
            permit is not None
            and permit.block is request.block
            and target.startswith(permit.prefix)
            and request.started < permit.until
            and permit.grant.valid
        ):
            path = target[len(permit.prefix) - 1 :]
            instance = self._registry.pick(permit.cluster)
            if instance is not None:
                request.user = permit.grant.user
                if instance.native:
                    return self._open_native(request, connection, instance, path, permit.grant)
                return self._pipeops_kube.open(request, connection, instance, path, permit.grant)
            return self._open_cluster(request, connection, permit.cluster, path, permit.grant)
        if target.startswith(KUBE_PREFIX):
            return self._open_kube(request, connection)
        path = target.partition(b"?")[0]
        if path in (AGENT_PATH, GATEWAY_PATH, SEED_PATH):
            self._accept_agent(request, connection, path)
            return None
        if path in (b"/health", b"/healthz", b"/ready", b"/readyz"):
            self._answer_health(connection, ready=path.startswith(b"/ready"))
            return None
        if path.startswith(b"/api/"):
            return self._api.open(request, connection)
        connection.fail(
            404,
            "nothing is served here; Kubernetes clusters are under /k8s/<cluster>/, the API under /api/v1/",
            Hop.CONTROL_PLANE,
        )
        return None

    # -- Kubernetes ------------------------------------------------------------------------

    def _open_kube(self, request: ClientRequest, connection: ClientConnection) -> Exchange | None:
        block = request.block
        token = bearer(block.authorization)
        if token is None:
            connection.fail(
                401,
                "no credentials: use a kubeconfig made by `pipeops kubeconfig`, or send a user token as Authorization: Bearer",
                Hop.CONTROL_PLANE,
            )
            return None
        grant = self._authenticator.cached(token)
        if grant is None:
            self._later(connection, self._authenticate(request, connection, token))
            return None
        return self._open_for(request, connection, grant)

    async def _authenticate(
        self, request: ClientRequest, connection: ClientConnection, token: bytes
    ) -> None:
        try:
            grant = await self._authenticator.authenticate(token)
        except Unauthenticated as error:
            connection.fail(401, f"{error}; {error.hint}", Hop.CONTROL_PLANE)
            return
        except AuthenticationUnavailable as error:
            connection.fail(
                503, f"{error}; {error.hint}", Hop.CONTROL_PLANE, retry_after=RETRY_AFTER
            )
            return
        if connection.is_gone:
            return  # a request nobody waits for must not be carried out
        exchange = self._open_for(request, connection, grant)
        if exchange is not None:
            connection.attach(exchange)

    def _open_for(
        self, request: ClientRequest, connection: ClientConnection, grant: Grant
    ) -> Exchange | None:
        name, slash, rest = request.target[len(KUBE_PREFIX) :].partition(b"/")
        if not slash:
            name, question, query = name.partition(b"?")
            rest = question + query
        connection.hold_grant(grant)
        problem = self._objection(request, grant, name)
        if problem is not None:
            request.user = grant.user
            connection.fail(*problem, Hop.CONTROL_PLANE)
            return None
        if slash:
            until = self._authenticator.trusted_until(grant)
            prefix = KUBE_PREFIX + name + b"/"
            connection.permit = Permit(request.block, prefix, name, grant, until)
        return self._open_cluster(request, connection, name, b"/" + rest, grant)

    def _open_cluster(
        self,
        request: ClientRequest,
        connection: ClientConnection,
        name: bytes,
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        request.user = grant.user
        instance = self._registry.pick(name)
        if instance is None:
            self._later(connection, self._explain_absence(connection, name.decode()))
            return None
        if not instance.native:
            return self._pipeops_kube.open(request, connection, instance, path, grant)
        return self._open_native(request, connection, instance, path, grant)

    def _objection(
        self, request: ClientRequest, grant: Grant, name: bytes
    ) -> tuple[int, str] | None:
        block = request.block
        if block.impersonation is not None:
            header = block.impersonation.decode("latin-1")
            return 403, f"{header} (--as) is not supported here: requests run as your token's user"
        if block.upgrade is not None and block.upgrade not in ALLOWED_UPGRADES:
            return 400, "only upgrades to websocket and SPDY/3.1 are allowed"
        if not name.isascii() or not grant.may_reach(name.decode("latin-1")):
            return (
                403,
                f"your token may not reach the cluster {name.decode('latin-1')[:64]!r}; ask an administrator",
            )
        return None

    def _open_native(
        self,
        request: ClientRequest,
        connection: ClientConnection,
        instance: AgentInstance,
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        waiting = self._registry.waiting
        if waiting.taken > waiting.limit:
            connection.fail(503, OVERLOADED, Hop.CONTROL_PLANE, retry_after=RETRY_AFTER)
            return None
        lane = instance.best_lane(request.started)
        session = lane.link.session if lane is not None else None
        if lane is None or session is None:
            connection.fail(
                503, "the agent is just connecting", Hop.TUNNEL, retry_after=RETRY_AFTER
            )
            return None
        exchange = KubeExchange(connection, lane.take_end, waiting, watch=is_watch(request.target))
        try:
            stream = session.open(exchange)
        except (StreamLimitReached, SessionClosed) as error:
            connection.fail(503, str(error), Hop.TUNNEL, retry_after=RETRY_AFTER)
            return None
        exchange.start(stream, request, path, grant.encoded)
        return exchange

    async def _explain_absence(self, connection: ClientConnection, name: str) -> None:
        try:
            exists = await self._clusters.exists(name)
        except (StoreError, NotFound):
            exists = True
        if not exists:
            connection.fail(
                404, f"no cluster is named {name!r}; see `pipeops clusters list`", Hop.CONTROL_PLANE
            )
            return
        seconds = self._registry.seconds_since_seen(name)
        ago = "and has not been seen since this control plane started"
        if seconds is not None:
            ago = f"and was last seen {seconds:.0f} s ago"
        connection.fail(
            503,
            f"the agent of cluster {name!r} is not connected {ago}; look at its pod's log in the cluster",
            Hop.AGENT,
        )

    # -- agents ----------------------------------------------------------------------------

    def _accept_agent(
        self, request: ClientRequest, connection: ClientConnection, path: bytes
    ) -> None:
        if (request.block.upgrade or b"").lower() != b"websocket":
            connection.fail(426, "this is the agents' WebSocket endpoint", Hop.CONTROL_PLANE)
            return
        self._later(connection, self._authenticate_agent(request, connection, path))

    async def _authenticate_agent(
        self, request: ClientRequest, connection: ClientConnection, path: bytes
    ) -> None:
        try:
            grant = await self._acceptor.authenticate(request.block.authorization)
        except Unauthenticated as error:
            connection.fail(401, f"{error}; {error.hint}", Hop.CONTROL_PLANE)
            return
        except AuthenticationUnavailable as error:
            connection.fail(
                503, f"{error}; {error.hint}", Hop.CONTROL_PLANE, retry_after=RETRY_AFTER
            )
            return
        try:
            transport, received = connection.take_over()
        except ConnectionResetError:
            return
        if path == SEED_PATH:
            self._acceptor.accept_seed(transport, received, grant)
            return
        gateway = path == GATEWAY_PATH
        self._acceptor.accept(transport, received, request.block, grant, gateway=gateway)

    # -- the rest --------------------------------------------------------------------------

    def _answer_health(self, connection: ClientConnection, *, ready: bool) -> None:
        problem = self._ready() if ready else None
        code, text = (503, f"not ready: {problem}\n") if problem else (200, "ok\n")
        body = text.encode()
        head = (
            f"HTTP/1.1 {code} {'OK' if code == 200 else 'Service Unavailable'}\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n\r\n"
        )
        connection.answer(code, head.encode(), body)

    def _later(self, connection: ClientConnection, decision: Coroutine[Any, Any, None]) -> None:
        try:
            self._scope.spawn(decision, name="request")
        except (TooManyTasksError, ScopeClosedError):
            connection.fail(
                503, "the control plane is overloaded", Hop.CONTROL_PLANE, retry_after=RETRY_AFTER
            )


def bearer(authorization: bytes | None) -> bytes | None:
    """The token of an `Authorization: Bearer` value (RFC 6750 §2.1), or None."""
    if authorization is None or authorization[:7].lower() != b"bearer ":
        return None
    return authorization[7:].strip() or None
