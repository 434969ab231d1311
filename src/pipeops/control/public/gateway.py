"""PublicGateway: the public listeners and what they share, built once and run by the composition root."""

import asyncio
import os
import ssl
from collections.abc import Callable

from pipeops.control.public.access_log import PublicAccessLog
from pipeops.control.public.listener import PublicListener
from pipeops.control.public.router import PublicRouter, Routes, Way
from pipeops.control.public.server_names import keep_server_names
from pipeops.control.public.tunnel_way import TunnelWay
from pipeops.control.public.upstream.direct_way import DirectWay
from pipeops.control.public_settings import Address, PublicSettings
from pipeops.control.routes.route import Route, RoutingMode
from pipeops.control.sessions.registry import SessionRegistry
from pipeops.errors import PipeOpsError
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import OnError, TaskScope, log_failure

log = get_logger(__name__)

ALPN = ("h2", "http/1.1")
SWEEP_INTERVAL = 1.0

ServerContext = Callable[[tuple[str, ...]], ssl.SSLContext]
Challenge = Callable[[str, str], bytes | None]


class CannotListen(PipeOpsError):
    """A public address cannot be listened on; the message names it, `hint` says what to do."""

    def __init__(self, kind: str, address: Address, error: OSError) -> None:
        where = f"{address[0]}:{address[1]}"
        why = os.strerror(error.errno) if error.errno else str(error)
        super().__init__(f"public {kind} cannot listen on {where}: {why}")
        self.hint = f"stop what uses it, or choose another address with --public-{kind}"


def _report_bugs(name: str, error: Exception) -> None:
    """What a person can act on is told by whoever started us."""
    if not isinstance(error, PipeOpsError):
        log_failure(name, error)


class PublicGateway:
    """All of it; off while no address is set.

    Args:
        server_context: TLS of the HTTPS listener, for these ALPN protocols.
        challenge: answers ACME challenges by host and token.

    Attributes:
        bound: addresses listened on, by `http` and `https`.
    """

    def __init__(
        self,
        settings: PublicSettings,
        routes: Routes,
        registry: SessionRegistry,
        *,
        server_context: ServerContext,
        now: Callable[[], float],
        access_log: PublicAccessLog,
        challenge: Challenge | None = None,
    ) -> None:
        self._settings = settings
        self._server_context = server_context
        self._now = now
        self.bound: dict[str, tuple[str, int]] = {}
        self._direct: DirectWay | None = None
        self._tunnel = TunnelWay(registry, now)
        self.router = PublicRouter(
            routes,
            self._way,
            settings=settings,
            now=now,
            challenge=challenge,
            waiting=registry.waiting,
        )
        self._access_log = access_log

    def _way(self, route: Route) -> Way:
        direct = self._direct
        if route.mode is RoutingMode.DIRECT and route.public_endpoint and direct is not None:
            return direct
        return self._tunnel

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            CannotListen: an address cannot be bound.
        """
        settings = self._settings
        if not settings.enabled:
            return
        self._access_log.start()
        try:
            async with (
                TaskScope("public clients", on_error=OnError.ISOLATE) as clients,
                TaskScope("public gateway", report=_report_bugs) as services,
            ):
                self._direct = DirectWay(
                    clients,
                    now=self._now,
                    verify=settings.direct_verify,
                    private=settings.direct_private,
                )
                if settings.http is not None:
                    listening = self._listen("http", settings.http, clients, None)
                    services.spawn(listening, name="http")
                if settings.https is not None:
                    context = self._server_context(ALPN)
                    keep_server_names(context)
                    listening = self._listen("https", settings.https, clients, context)
                    services.spawn(listening, name="https")
                await self._sweep()
        finally:
            self._tunnel.raw.pool.close()
            if self._direct is not None:
                self._direct.pool.close()
            self._access_log.stop()

    async def _listen(
        self, kind: str, address: Address, scope: TaskScope, context: ssl.SSLContext | None
    ) -> None:
        listener = PublicListener(
            self.router,
            self._access_log,
            scope,
            now=self._now,
            proxies=self._settings.proxy_protocol,
        )

        def on_listening(bound: tuple[str, int]) -> None:
            log.info("public gateway is listening", kind=kind, address=f"{bound[0]}:{bound[1]}")
            self.bound[kind] = bound

        try:
            await listener.run(*address, ssl_context=context, on_listening=on_listening)
        except OSError as error:
            raise CannotListen(kind, address, error) from error

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            self.router.sweep(self._now())
