"""Serving a simulated cluster on a socket."""

import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeops.runtime.tasks import TaskScope
from pipeops.sim.api import ApiServer
from pipeops.sim.cluster import SimulatedCluster
from pipeops.sim.controllers.all import all_controllers
from pipeops.sim.http import HttpServer
from pipeops.sim.pods.subresources import PodSubresources


def _report(error: Exception) -> None:
    traceback.print_exception(error)


@asynccontextmanager
async def serve(
    cluster: SimulatedCluster,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    *,
    authority: str = "",
) -> AsyncIterator[tuple[str, int]]:
    """Listen, and run the controllers, while the block runs.

    Yields (host, port) with the port that was really bound. `authority` is what pods find as
    their cluster's CA.

    Leaving the block closes the listener and every connection, and waits for their tasks.
    OSError when the address cannot be bound.
    """
    api = ApiServer(cluster, PodSubresources(cluster))
    controllers = all_controllers(cluster, _report, authority=authority)
    controllers.settle()
    async with (
        TaskScope("simulated cluster") as tasks,
        HttpServer(api.handle, host, port, tls=tls, on_crash=_report) as server,
    ):
        tasks.spawn(controllers.run(), name="controllers")
        try:
            yield server.address
        finally:
            controllers.close()
