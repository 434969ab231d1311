"""Composition root of the control plane: store, authenticators, sessions, API and the listener, in start order."""

import asyncio
import errno
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from random import Random
from socket import AF_UNIX, socket
from typing import Any

import uvloop

from pipeops import __version__
from pipeops.control.api.directory import LocalDirectory
from pipeops.control.api.services import ApiServices, GatewayServices
from pipeops.control.auth.authenticator import Authenticator, ClusterAuthenticator
from pipeops.control.auth.bootstrap import ensure_admin_token
from pipeops.control.auth.cluster_credentials import ClusterCredentials, Sealer, load_key
from pipeops.control.certificates.service import PURPOSE, Certificates
from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.api_relay import ApiRelay
from pipeops.control.edge.listener import Listener
from pipeops.control.edge.pipeops_kube import PipeOpsKube
from pipeops.control.edge.router import Router
from pipeops.control.forwards.ports import ForwardPorts
from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.gateway import PublicGateway
from pipeops.control.routes.dns_lookup import DnsLookup
from pipeops.control.routes.own_hosts import own_hosts
from pipeops.control.routes.ownership import HostRule
from pipeops.control.routes.proofs import DomainProofs
from pipeops.control.routes.registry import RouteRegistry
from pipeops.control.routes.upkeep import RouteUpkeep
from pipeops.control.sessions.acceptor import AgentAcceptor
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.control.settings import ControlSettings
from pipeops.control.store.clusters import ClusterStore
from pipeops.control.store.errors import NotFound
from pipeops.control.store.opening import Store, open_store
from pipeops.errors import PipeOpsError
from pipeops.http1.tls import server_context
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.waiting import WaitingBytes
from pipeops.runtime.clock import Clock
from pipeops.runtime.heap import keep_freed_memory
from pipeops.runtime.logs import get_logger
from pipeops.runtime.loop_errors import report_loop_errors
from pipeops.runtime.signals import shutdown_event, state_report
from pipeops.runtime.tasks import OnError, TaskScope, log_failure

log = get_logger(__name__)

RECHECK_INTERVAL = (
    30.0  # seconds until a token revoked elsewhere ends its connections (threats.md S-12: 60 s)
)
API_BACKLOG = 512
GC_THRESHOLD = 50_000  # performance.md §7: collections cost more than the hot path's garbage


class CannotStart(PipeOpsError):
    """The control plane cannot run with these settings on this machine."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def run(settings: ControlSettings) -> int:
    """Run the control plane until SIGTERM or SIGINT; returns the exit code."""
    keep_freed_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(settings))
    return 0


async def _main(settings: ControlSettings) -> None:
    report_loop_errors(asyncio.get_running_loop())
    clock = Clock()
    _make_data_dir(settings.data_dir)
    store = await open_store(settings.database_url, now=clock.wall)
    try:
        written = await ensure_admin_token(store.user_tokens, settings.admin_token_file)
        if written:
            log.info("administrator token written", file=str(settings.admin_token_file))
        await ControlPlane(settings, store, clock).run()
    finally:
        await store.close()


def _make_data_dir(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CannotStart(
            f"the data directory {path} cannot be written: {error.strerror}",
            "choose another with --data-dir, or give this user the right to write there",
        ) from error


class ControlPlane:
    """All parts of one process, built but not started."""

    def __init__(self, settings: ControlSettings, store: Store, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._store = store
        self._clock = clock
        self._now = loop.time
        self._stopping = False
        self._listening = asyncio.Event()
        self.authenticator = Authenticator(
            store.user_tokens, wall=clock.wall, monotonic=clock.monotonic
        )
        self.cluster_authenticator = ClusterAuthenticator(
            store.cluster_tokens, wall=clock.wall, monotonic=clock.monotonic
        )
        key = load_key(settings.credential_key_file)
        self._credentials = ClusterCredentials(store.cluster_credentials, Sealer(key))
        self.certificates = Certificates(
            settings.certificates,
            store.certificates,
            Sealer(key, PURPOSE),
            clock=clock,
            rng=Random(),  # noqa: S311 - spreads renewals, guards nothing
            wanted_hosts=lambda: (
                one.key.host for one in self.routes.table if one.tls and one.key.host
            ),
        )
        self.registry = SessionRegistry(
            now=self._now, waiting=WaitingBytes(settings.max_waiting_mib << 20)
        )
        ports = settings.forward_ports
        self.forwards = ForwardPorts(
            store.forwards,
            self.registry,
            host=settings.forward_host,
            ports=range(ports[0], ports[1] + 1) if ports is not None else range(0),
            now=self._now,
        )
        self.routes = RouteRegistry(
            store.routes,
            store.domains,
            rule=HostRule(settings.route_hosts),
            now=clock.wall,
            own_hosts=own_hosts(settings),
        )
        self.routes.subscribe(self.certificates.hosts_changed)
        timestamp = _Timestamp(clock.wall)
        public = settings.public
        self.public = PublicGateway(
            public,
            self.routes.table,
            self.registry,
            server_context=self.certificates.book.server_context,
            challenge=self.certificates.responses.answer,
            now=self._now,
            access_log=PublicAccessLog(
                sys.stderr,
                timestamp=timestamp,
                call_later=loop.call_later,
                enabled=public.access_log,
            ),
        )
        self.access_log = AccessLog(
            sys.stderr,
            timestamp=timestamp,
            call_later=loop.call_later,
            enabled=settings.access_log,
        )

    async def run(self) -> None:
        """Serve until a signal; then: not ready, no new connections, drain, stop."""
        await self.routes.load()
        proofs = DomainProofs(
            DnsLookup(self._settings.name_servers),
            instance=await self._store.settings.instance_id(),
            now=self._now,
        )
        upkeep = RouteUpkeep(self.routes, proofs, now=self._now)
        with (
            shutdown_event() as stop,
            tempfile.TemporaryDirectory(prefix="pipeops-") as directory,
        ):
            api_socket = Path(directory) / "api.sock"
            async with (
                TaskScope("control", on_error=OnError.CANCEL, report=_report_bugs) as services,
                TaskScope("requests", on_error=OnError.ISOLATE) as requests,
            ):
                listener = self._listener(requests, api_socket)
                self.access_log.start()
                services.spawn(self._serve_api(api_socket, upkeep), name="api")
                services.spawn(self._once_listening(upkeep.run), name="routes")
                services.spawn(self._watch_tokens(), name="tokens")
                services.spawn(self._once_listening(self.forwards.run), name="forwards")
                services.spawn(self._once_listening(self.certificates.run), name="certificates")
                services.spawn(self._once_listening(self._serve_public), name="public")
                listening = services.spawn(self._listen(listener), name="listener")
                gc.collect()
                gc.freeze()
                gc.set_threshold(GC_THRESHOLD, 50, 50)
                with state_report(lambda: self._figures(listener, requests)):
                    await stop.wait()
                log.info("stopping")
                self._stopping = True
                for instance in list(self.registry.all_instances()):
                    self.registry.end_cluster(
                        instance.cluster_name, "the control plane is stopping"
                    )
                listening.cancel()
                await asyncio.wait([listening])
        self.access_log.stop()

    def _listener(self, requests: TaskScope, api_socket: Path) -> Listener:
        acceptor = AgentAcceptor(
            authenticator=self.cluster_authenticator,
            registry=self.registry,
            directory=self._store.clusters,
            credentials=self._credentials,
            scope=requests,
            limits=Limits(max_streams=self._settings.max_streams),
            heartbeat_interval=self._settings.heartbeat_interval,
            now=self._now,
            wall=self._clock.now,
            gateway_url=self._settings.gateway_url,
            forwards=self.forwards,
        )
        router = Router(
            authenticator=self.authenticator,
            acceptor=acceptor,
            registry=self.registry,
            clusters=_ClusterNames(self._store.clusters),
            api=ApiRelay(api_socket, requests),
            pipeops_kube=PipeOpsKube(
                requests,
                now=self._now,
                wall=self._clock.now,
                call_later=asyncio.get_running_loop().call_later,
            ),
            scope=requests,
            ready=self._not_ready,
        )
        return Listener(router, self.access_log, now=self._now)

    def _figures(self, listener: Listener, requests: TaskScope) -> dict[str, object]:
        """What this process holds beside tasks and descriptors; all of it goes back when clients and agents go."""
        lanes = [lane for each in self.registry.all_instances() for lane in each.lanes.values()]
        sessions = [lane.link.session for lane in lanes if lane.link.session is not None]
        return {
            "clients": len(listener.connections),
            "requests": requests.live,
            "agents": len(self.registry),
            "lanes": len(lanes),
            "streams": sum(len(session.streams) for session in sessions),
            "waiting_bytes": self.registry.waiting.taken,
        }

    def _not_ready(self) -> str | None:
        if self._stopping:
            return "stopping"
        return None if self._listening.is_set() else "starting"

    async def _listen(self, listener: Listener) -> None:
        settings = self._settings
        context = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            context = server_context(str(settings.tls_cert), str(settings.tls_key))

        def on_listening(address: tuple[str, int]) -> None:
            self._listening.set()
            log.info(
                "control plane is listening",
                address=f"{address[0]}:{address[1]}",
                tls=context is not None,
                version=__version__,
            )

        await listener.run(
            settings.listen_host,
            settings.listen_port,
            ssl_context=context,
            on_listening=on_listening,
        )

    async def _serve_api(self, path: Path, upkeep: RouteUpkeep) -> None:
        services = ApiServices(
            store=self._store,
            authenticator=self.authenticator,
            cluster_authenticator=self.cluster_authenticator,
            sessions=LocalDirectory(self.registry, now=self._now, wall=self._clock.wall),
            wall=self._clock.wall,
            version=__version__,
            report=_report,
            forwards=self.forwards,
            credentials=self._credentials,
            certificates=self.certificates,
            gateway=GatewayServices(
                self.routes,
                upkeep,
                insight=self.public.router.states,
                dns=self._settings.public.dns,
            ),
        )
        with socket(AF_UNIX) as listening:
            # Requests that come before the application is there wait in the backlog.
            listening.bind(str(path))
            listening.listen(API_BACKLOG)
            # A second of imports: agents and kubectl need not wait for the operators' API.
            api = await asyncio.to_thread(import_module, "pipeops.control.api.server")
            server = api.ApiServer(services)
            _settle_memory()
            await server.serve(sockets=[listening])

    async def _once_listening(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A control plane that cannot start opens no other ports, and is in no statement whose driver outlives the cancellation."""
        await self._listening.wait()
        await run()

    async def _serve_public(self) -> None:
        await self.certificates.ready.wait()
        await self.public.run()

    async def _watch_tokens(self) -> None:
        def failed(error: Exception) -> None:
            log.warning("tokens could not be checked again", error=str(error))

        async with asyncio.TaskGroup() as group:
            group.create_task(self.authenticator.watch(RECHECK_INTERVAL, failed))
            group.create_task(self.cluster_authenticator.watch(RECHECK_INTERVAL, failed))


def _settle_memory() -> None:
    """What lives now lives for long: never look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 50)


def _report_bugs(name: str, error: Exception) -> None:
    """Failures that a person can act on come out of `run` as one line; anything else is a bug and needs its traceback."""
    if not isinstance(error, PipeOpsError | OSError):
        log_failure(name, error)


class _ClusterNames:
    """Answers whether a cluster exists from the store."""

    def __init__(self, clusters: ClusterStore) -> None:
        self._clusters = clusters

    async def exists(self, name: str) -> bool:
        try:
            await self._clusters.get(name)
        except NotFound:
            return False
        return True


class _Timestamp:
    """RFC 3339 time of now; the calendar is asked once a second."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._second = -1
        self._date = b""

    def __call__(self) -> bytes:
        now = self._wall()
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}".encode()
        return b"%b.%03dZ" % (self._date, (now - second) * 1000)


def _report(request_id: str, error: Exception) -> None:
    log.error("API request failed", request_id=request_id, error=str(error), exc_info=error)
