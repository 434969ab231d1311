"""Composition root of the control plane: store, authenticators, sessions, API and the listener, in start order."""

import asyncio
import gc
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import AF_UNIX, socket

import uvicorn
import uvloop

from pipeops import __version__
from pipeops.control.api.app import create_app
from pipeops.control.api.directory import LocalDirectory
from pipeops.control.api.services import ApiServices
from pipeops.control.auth.authenticator import Authenticator, ClusterAuthenticator
from pipeops.control.auth.bootstrap import ensure_admin_token
from pipeops.control.auth.cluster_credentials import ClusterCredentials, Sealer, load_key
from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.api_relay import ApiRelay
from pipeops.control.edge.json_kube import JsonKube
from pipeops.control.edge.listener import Listener
from pipeops.control.edge.router import Router
from pipeops.control.sessions.acceptor import AgentAcceptor
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.control.settings import ControlSettings
from pipeops.control.store.clusters import ClusterStore
from pipeops.control.store.errors import NotFound
from pipeops.control.store.opening import Store, open_store
from pipeops.http1.tls import server_context
from pipeops.protocol.limits import Limits
from pipeops.runtime.clock import Clock
from pipeops.runtime.heap import keep_freed_memory
from pipeops.runtime.logs import get_logger
from pipeops.runtime.signals import shutdown_event
from pipeops.runtime.tasks import OnError, TaskScope

log = get_logger(__name__)

RECHECK_INTERVAL = (
    30.0  # seconds until a token revoked elsewhere ends its connections (threats.md S-12: 60 s)
)
API_BACKLOG = 512
GC_THRESHOLD = 50_000  # performance.md §7: collections cost more than the hot path's garbage


def run(settings: ControlSettings) -> int:
    """Run the control plane until SIGTERM or SIGINT; returns the exit code."""
    keep_freed_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(settings))
    return 0


async def _main(settings: ControlSettings) -> None:
    clock = Clock()
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = await open_store(settings.database_url, now=clock.wall)
    try:
        written = await ensure_admin_token(store.user_tokens, settings.admin_token_file)
        if written:
            log.info("administrator token written", file=str(settings.admin_token_file))
        await ControlPlane(settings, store, clock).run()
    finally:
        await store.close()


class ControlPlane:
    """All parts of one process, built but not started."""

    def __init__(self, settings: ControlSettings, store: Store, clock: Clock) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._store = store
        self._clock = clock
        self._now = loop.time
        self._stopping = False
        self._listening = False
        self.authenticator = Authenticator(
            store.user_tokens, wall=clock.wall, monotonic=clock.monotonic
        )
        self.cluster_authenticator = ClusterAuthenticator(
            store.cluster_tokens, wall=clock.wall, monotonic=clock.monotonic
        )
        self._credentials = ClusterCredentials(
            store.cluster_credentials, Sealer(load_key(settings.credential_key_file))
        )
        self.registry = SessionRegistry(now=self._now)
        self.access_log = AccessLog(
            sys.stderr,
            timestamp=_Timestamp(clock.wall),
            call_later=loop.call_later,
            enabled=settings.access_log,
        )

    async def run(self) -> None:
        """Serve until a signal; then: not ready, no new connections, drain, stop."""
        with (
            shutdown_event() as stop,
            tempfile.TemporaryDirectory(prefix="pipeops-") as directory,
        ):
            api_socket = Path(directory) / "api.sock"
            async with (
                TaskScope("control", on_error=OnError.CANCEL) as services,
                TaskScope("requests", on_error=OnError.ISOLATE) as requests,
            ):
                listener = self._listener(requests, api_socket)
                self.access_log.start()
                services.spawn(self._serve_api(api_socket), name="api")
                services.spawn(self._watch_tokens(), name="tokens")
                listening = services.spawn(self._listen(listener), name="listener")
                gc.collect()
                gc.freeze()
                gc.set_threshold(GC_THRESHOLD, 50, 50)
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
        )
        router = Router(
            authenticator=self.authenticator,
            acceptor=acceptor,
            registry=self.registry,
            clusters=_ClusterNames(self._store.clusters),
            api=ApiRelay(api_socket, requests),
            json_kube=JsonKube(
                wall=self._clock.now, call_later=asyncio.get_running_loop().call_later
            ),
            scope=requests,
            ready=self._not_ready,
        )
        return Listener(router, self.access_log, now=self._now)

    def _not_ready(self) -> str | None:
        if self._stopping:
            return "stopping"
        return None if self._listening else "starting"

    async def _listen(self, listener: Listener) -> None:
        settings = self._settings
        context = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            context = server_context(str(settings.tls_cert), str(settings.tls_key))

        def on_listening(address: tuple[str, int]) -> None:
            self._listening = True
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

    async def _serve_api(self, path: Path) -> None:
        services = ApiServices(
            store=self._store,
            authenticator=self.authenticator,
            cluster_authenticator=self.cluster_authenticator,
            sessions=LocalDirectory(self.registry, now=self._now, wall=self._clock.wall),
            wall=self._clock.wall,
            version=__version__,
            report=_report,
        )
        config = uvicorn.Config(
            create_app(services), lifespan="off", log_config=None, access_log=False, ws="none"
        )
        with socket(AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen(API_BACKLOG)
            await _ApiServer(config).serve(sockets=[listening])

    async def _watch_tokens(self) -> None:
        def failed(error: Exception) -> None:
            log.warning("tokens could not be checked again", error=str(error))

        async with asyncio.TaskGroup() as group:
            group.create_task(self.authenticator.watch(RECHECK_INTERVAL, failed))
            group.create_task(self.cluster_authenticator.watch(RECHECK_INTERVAL, failed))


class _ApiServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
