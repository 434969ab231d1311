"""A loop whose connections the test makes, and a connector on it."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from pipeops.agent.l4.connector import Connector
from pipeops.agent.targets import Endpoint, NoSystemServices, TargetRefused, TargetResolver
from pipeops.runtime.tasks import TaskScope
from tests.support.transports import RecordingTransport


class Datagrams:
    """A datagram transport that remembers."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def sendto(self, data: bytes, addr: object = None) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True


class Network:
    """The part of a loop that a Connector uses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.connected: list[tuple[str, int]] = []
        self.transports: list[RecordingTransport] = []
        self.datagrams: list[Datagrams] = []
        self.error: OSError | None = None
        self.dead: set[str] = set()

    def time(self) -> float:
        return self.now

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> Any:
        if self.error is not None:
            raise self.error
        if host in self.dead:
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        self.connected.append((host, port))
        self.transports.append(RecordingTransport())
        protocol = factory()
        protocol.connection_made(self.transports[-1])
        return self.transports[-1], protocol

    async def create_datagram_endpoint(
        self, factory: Callable[[], Any], *, remote_addr: tuple[str, int]
    ) -> Any:
        if self.error is not None:
            raise self.error
        self.connected.append(remote_addr)
        self.datagrams.append(Datagrams())
        protocol = factory()
        protocol.connection_made(self.datagrams[-1])
        return self.datagrams[-1], protocol


async def lookup(host: str, port: int) -> list[str]:
    if host.startswith("nowhere."):
        raise OSError("Name or service not known")
    return ["10.0.0.9"]


def resolver() -> TargetResolver:
    return TargetResolver(
        NoSystemServices(), Endpoint("10.0.0.1", 443), "cluster.local", lambda: 0.0, lookup
    )


def connector(scope: TaskScope, network: Network) -> Connector:
    return Connector(scope, loop=network)  # type: ignore[arg-type]


async def somewhere() -> tuple[Endpoint, ...]:
    return (Endpoint("10.0.0.9", 80),)


async def refused() -> tuple[Endpoint, ...]:
    raise TargetRefused("not allowed")
