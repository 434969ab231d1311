"""Serving a simulated cluster on a socket."""

import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeops.sim.api import ApiServer
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.http import HttpServer


def _report(error: Exception) -> None:
    traceback.print_exception(error)


@asynccontextmanager
async def serve(
    cluster: SimulatedCluster,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """Listen while the block runs; yields (host, port) with the port that was really bound.

    Leaving the block closes the listener and every connection, and waits for their tasks.
    OSError when the address cannot be bound.
    """
    api = ApiServer(cluster)
    async with HttpServer(api.handle, host, port, tls=tls, on_crash=_report) as server:
        yield server.address
