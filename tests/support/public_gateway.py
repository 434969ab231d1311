"""A public gateway on loopback in a thread of its own, with scripted agents behind it."""

import asyncio
import io
import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.gateway import PublicGateway
from pipeops.control.public_settings import PublicSettings
from pipeops.control.routes.route import PathType, Route, RouteKey, RoutingMode
from pipeops.control.routes.table import RouteTable
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.protocol.mux.session import Session
from pipeops.protocol.mux.waiting import WaitingBytes
from tests.support.certificates import Authority
from tests.support.scripted_agent import ScriptedAgent, connect

CLUSTER = "edge"
T = TypeVar("T")


def route(
    host: str,
    path: str = "/",
    *,
    kind: PathType = PathType.PREFIX,
    service: str = "web",
    cluster: str = CLUSTER,
    endpoint: str = "",
    tls: bool = False,
    annotations: dict[str, str] | None = None,
) -> Route:
    """A route; with an `endpoint` it is direct."""
    mode = RoutingMode.DIRECT if endpoint else RoutingMode.TUNNEL
    key = RouteKey(host, path, kind)
    named = {f"pipeops.io/{name}": value for name, value in (annotations or {}).items()}
    return Route(key, cluster, "apps", service, 80, tls, "", mode, endpoint, named)


class PublicBench:
    """The gateway, its routes and one agent; use as a context manager.

    Attributes:
        waiting: what the gateway keeps in memory for slow ones, at most `max_waiting` before it refuses.
        table: add routes before or while it runs.
        challenges: ACME answers by host and token.
        agent: unless `behind` opened another tunnel.
    """

    def __init__(
        self,
        directory: Path,
        settings: PublicSettings | None = None,
        *,
        behind: Callable[[], AbstractAsyncContextManager[Session]] | None = None,
        may_catch: Callable[[str, str], bool] = lambda _cluster, _host: True,
        max_waiting: int = 64 << 20,
    ) -> None:
        authority = Authority(directory)
        self._behind = behind
        self.waiting = WaitingBytes(max_waiting)
        names = ("app.example.com", "other.example.com", "localhost", "127.0.0.1")
        self._pair = authority.server("public", *names)
        self.ca_file = authority.ca_file
        loopback = ("127.0.0.1", 0)
        self._settings = replace(settings or PublicSettings(), http=loopback, https=loopback)
        self.table = RouteTable(may_catch=may_catch)
        self.challenges: dict[tuple[str, str], bytes] = {}
        self.log = io.StringIO()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.ports: dict[str, int] = {}
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(20), self.failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            loop.call_soon_threadsafe(task.cancel)
        self._thread.join(20)
        assert self.failure is None or kind is not None, self.failure

    def call(self, function: Callable[[], T]) -> T:
        """Run a function on the gateway's loop."""
        assert self._loop is not None

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    # -- clients ---------------------------------------------------------------------------

    def plain(self, kind: str = "http", timeout: float = 10) -> socket.socket:
        """A connection without TLS."""
        return socket.create_connection(("127.0.0.1", self.ports[kind]), timeout=timeout)

    def secure(
        self,
        sni: str | None = "app.example.com",
        alpn: tuple[str, ...] = ("http/1.1",),
        timeout: float = 10,
    ) -> ssl.SSLSocket:
        """A connection with TLS."""
        return self.wrap(self.plain("https", timeout), sni, alpn)

    def wrap(
        self,
        plain: socket.socket,
        sni: str | None = "app.example.com",
        alpn: tuple[str, ...] = ("http/1.1",),
    ) -> ssl.SSLSocket:
        """Begin TLS on a connection."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.set_alpn_protocols(list(alpn))
        if sni is None:
            context.check_hostname = False
        return context.wrap_socket(plain, server_hostname=sni)

    def logged(self) -> list[dict[str, Any]]:
        """Lines of the access log so far."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self.failure = error

    async def _main(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.registry = SessionRegistry(now=loop.time, waiting=self.waiting)
        self.gateway = PublicGateway(
            self._settings,
            self.table,
            self.registry,
            server_context=self._context,
            now=loop.time,
            access_log=PublicAccessLog(
                self.log, timestamp=lambda: b"t", call_later=loop.call_later
            ),
            challenge=lambda host, token: self.challenges.get((host, token)),
        )
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            if self._behind is not None:
                connect(self.registry, CLUSTER, await stack.enter_async_context(self._behind()))
            else:
                self.agent = ScriptedAgent(self.registry, CLUSTER)
            running = group.create_task(self.gateway.run())
            while len(self.gateway.bound) < 2 and not running.done():
                await asyncio.sleep(0.01)
            self.ports = {kind: bound[1] for kind, bound in self.gateway.bound.items()}
            self._ready.set()

    def _context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pair.certificate, self._pair.key)
        context.set_alpn_protocols(list(alpn))
        return context
