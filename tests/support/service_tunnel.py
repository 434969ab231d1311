"""Both ends of a tunnel in one loop: a control plane that opens SERVICE_HTTP streams, an agent's handler behind it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from pipeops.agent.proxy.accept import StreamAcceptor
from pipeops.agent.proxy.pool import PoolLimits
from pipeops.agent.services.access import AllowedServices, PublishedServices, ServiceAccess
from pipeops.agent.services.api_server import ApiServerAddresses
from pipeops.agent.services.directory import ServiceDirectory
from pipeops.agent.services.objects import service_path, slices_path
from pipeops.agent.services.proxy import ServiceHttpProxy
from pipeops.agent.services.routes import ServiceRoutes
from pipeops.agent.services.tls import ServiceTls
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetResolver
from pipeops.kube.errors import KubeError, NotFound
from pipeops.protocol.exchange.native import (
    PREFACE_BYTES,
    UNKNOWN_LENGTH,
    Preface,
    StreamHead,
    StreamKind,
    decode_preface,
    encode_head,
)
from pipeops.protocol.exchange.service_failure import FAILURE_HEADER
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux import Role, Session
from pipeops.protocol.mux.sink import StreamSink
from pipeops.protocol.mux.stream import Stream
from pipeops.runtime.tasks import OnError, TaskScope

T = TypeVar("T")

WAIT = 20.0  # seconds; a busy machine is slow


class Call:
    """One stream, seen from the control plane; everything that comes is taken unless `hold` says otherwise."""

    def __init__(self) -> None:
        self.stream: Stream | None = None
        self.received = bytearray()
        self.finished = False
        self.was_reset = False
        self.hold = False
        self._held = 0
        self._changed = asyncio.Event()

    def on_data(self, data: memoryview, fin: bool) -> None:
        self.received += data
        self.finished = fin
        if self.hold:
            self._held += len(data)
        elif len(data) and not fin and self.stream is not None:
            self.stream.consumed(len(data))
        self._changed.set()

    def on_reset(self) -> None:
        self.was_reset = True
        self._changed.set()

    def on_writable(self) -> None:
        self._changed.set()

    def release(self) -> None:
        """Take what was held."""
        self.hold = False
        held, self._held = self._held, 0
        if held and self.stream is not None and not self.stream.closed:
            self.stream.consumed(held)

    def send(self, data: bytes, *, fin: bool = False) -> bool:
        assert self.stream is not None
        return self.stream.send(data, fin)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def whole(self) -> "Call":
        """Wait for the end, clean or not."""
        await self.until(lambda: self.finished or self.was_reset)
        return self

    async def until_body(self, data: bytes) -> None:
        """Wait until the body holds these bytes."""
        await self.until(lambda: self.has_head and data in self.body)

    @property
    def has_head(self) -> bool:
        return (
            len(self.received) >= PREFACE_BYTES
            and len(self.received) >= PREFACE_BYTES + self.preface.head_length
        )

    @property
    def preface(self) -> Preface:
        return decode_preface(bytes(self.received[:PREFACE_BYTES]))

    @property
    def status(self) -> int:
        return self.preface.status

    @property
    def head(self) -> bytes:
        return bytes(self.received[PREFACE_BYTES : PREFACE_BYTES + self.preface.head_length])

    @property
    def body(self) -> bytes:
        return bytes(self.received[PREFACE_BYTES + self.preface.head_length :])

    @property
    def failure(self) -> str:
        """Value of the failure header of an answer that the agent wrote itself."""
        if not self.preface.own:
            return ""
        name = b"\r\n" + FAILURE_HEADER + b": "
        return self.head.partition(name)[2].partition(b"\r\n")[0].decode()


class ServiceTunnel:
    """Attributes: `ends`, what the agent announced of streams that broke; `reports`, its log."""

    def __init__(self, handler: ServiceHttpProxy, *, limits: Limits | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.ends: list[tuple[str, str]] = []
        self.reports: list[tuple[int, str]] = []
        acceptor = StreamAcceptor(
            {StreamKind.SERVICE_HTTP: handler},
            lambda _id, code, _hop, message: self.reports.append((code, message)),
        )
        limits = replace(limits or Limits(), headroom=0)
        self.control = Session(
            Role.SERVER, limits, accept=lambda _: None, wake=lambda: self._wake(0),
            on_sink_error=_unexpected, now=0.0,
        )  # fmt: skip
        self.agent = Session(
            Role.CLIENT, limits, wake=lambda: self._wake(1), on_sink_error=_unexpected, now=0.0,
            accept=lambda stream: acceptor.accept(stream, self._announce),
        )  # fmt: skip

    def _announce(self, _stream: int, code: str, _hop: object, message: str) -> None:
        self.ends.append((code, message))

    def _wake(self, which: int) -> None:
        self._loop.call_soon(self._flush, which)

    def _flush(self, which: int) -> None:
        here, there = (self.control, self.agent) if not which else (self.agent, self.control)
        while (batch := here.data_to_send()) is not None:
            there.receive_data(memoryview(bytes(batch)), now=self._loop.time())

    def open(
        self,
        target: str,
        http_head: bytes,
        *,
        length: int = 0,
        flags: int = 0,
        deadline_ms: int = 0,
        principal: bytes = b"",
        hold: bool = False,
    ) -> Call:
        """Open a stream and send its head."""
        head = StreamHead(
            StreamKind.SERVICE_HTTP, flags, deadline_ms, length, bytes(range(16)), target.encode(),
            principal, http_head,
        )  # fmt: skip
        call = Call()
        call.hold = hold
        sink: StreamSink = call
        call.stream = self.control.open(sink)
        call.stream.send(encode_head(head))
        return call

    async def ask(
        self,
        target: str,
        http_head: bytes,
        body: bytes = b"",
        *,
        chunked: bool = False,
        **more: int,
    ) -> Call:
        """A whole request and its whole answer."""
        call = self.open(target, http_head, length=UNKNOWN_LENGTH if chunked else len(body), **more)
        call.send(body, fin=True)
        return await call.whole()


def _unexpected(_stream: Stream, error: Exception) -> None:
    raise error


class Objects:
    """The API server's Services and EndpointSlices: a `Reader`. Attributes: `asked`, paths that were read."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}
        self.errors: dict[str, KubeError] = {}
        self.asked: list[str] = []

    async def get(self, path: str, kind: type[T]) -> T:
        self.asked.append(path)
        await asyncio.sleep(0)
        for part, error in self.errors.items():
            if part in path:
                raise error
        if path not in self._objects:
            raise NotFound(404, "NotFound", "not found", retry_after=None)
        return msgspec.convert(self._objects[path], kind)

    def put(
        self,
        target: ServiceTarget,
        *addresses: str,
        port: int | None = None,
        name: str = "",
        protocol: str | None = None,
        ready: bool = True,
        spec: dict[str, Any] | None = None,
        annotations: dict[str, str] | None = None,
    ) -> None:
        """A Service of one port, with endpoints at `addresses` and `port` (the target's own)."""
        own = {"name": name, "port": target.port, "protocol": "TCP", "appProtocol": protocol}
        self._objects[service_path(target.namespace, target.name)] = {
            "metadata": {"annotations": annotations},
            "spec": {"selector": {"app": target.name}, "ports": [own], **(spec or {})},
        }
        conditions = {"ready": ready, "serving": None}
        self._objects[slices_path(target.namespace, target.name)] = {
            "items": [
                {
                    "addressType": "IPv4",
                    "endpoints": [
                        {"addresses": [address], "conditions": conditions} for address in addresses
                    ],
                    "ports": [{"name": name or None, "port": port or target.port}],
                }
            ]
        }

    def remove(self, target: ServiceTarget) -> None:
        del self._objects[service_path(target.namespace, target.name)]


@dataclass
class Cluster:
    """The Services of a test: names and where they are."""

    addresses: dict[str, list[str]]
    published: PublishedServices
    routes: ServiceRoutes
    directory: ServiceDirectory
    tunnel: ServiceTunnel


@asynccontextmanager
async def cluster(
    *offered: ServiceTarget,
    addresses: dict[str, list[str]] | None = None,
    objects: Objects | None = None,
    limits: PoolLimits | None = None,
    allow: tuple[str, ...] = (),
    ca_file: str = "",
    kube_api: Endpoint | None = None,
) -> AsyncIterator[Cluster]:
    """Services on loopback: DNS says 127.0.0.1 for every name unless `addresses` has it."""
    known = addresses or {}
    kube_api = kube_api or Endpoint("127.0.0.99", 6443)

    async def lookup(host: str, _port: int) -> list[str]:
        name = host.partition(".svc.")[0]
        found = known.get(name, [] if name == "kubernetes.default" else ["127.0.0.1"])
        if not found:
            raise OSError("Name or service not known")
        return found

    published = PublishedServices()
    published.replace(offered)
    async with TaskScope("services", on_error=OnError.ISOLATE) as scope:
        loop = asyncio.get_running_loop()
        resolver = TargetResolver(
            ServiceAccess(published, AllowedServices(allow)),
            kube_api,
            "cluster.local",
            loop.time,
            lookup,
            lambda address: address.startswith("127."),
        )
        api = ApiServerAddresses(
            kube_api, "cluster.local", now=loop.time, lookup=lookup, reader=objects, environment={}
        )
        directory = ServiceDirectory(resolver, api, now=loop.time, reader=objects)
        routes = ServiceRoutes(
            resolver, scope, limits=limits, directory=directory, tls=ServiceTls(ca_file)
        )
        sweeping = asyncio.ensure_future(routes.run(lambda: None))
        try:
            handler = ServiceHttpProxy(routes, call_later=loop.call_later)
            yield Cluster(known, published, routes, directory, ServiceTunnel(handler))
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])
            async with asyncio.timeout(WAIT):  # TLS says goodbye, and waits for an answer
                while any(map(len, routes._pools.values())):
                    await asyncio.sleep(0.01)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    handler: Handler, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A TCP server on loopback; its port. It takes its connections with it."""
    served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served[task] = writer
        await handler(reader, writer)

    running = await asyncio.start_server(serve, host, port, ssl=tls)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()
        for writer in served.values():
            writer.transport.abort()
        if served:
            await asyncio.wait(served)
        await asyncio.sleep(0)
