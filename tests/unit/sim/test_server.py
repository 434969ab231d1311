from typing import Any, Self

import pytest

from pipeops.sim import server
from tests.unit.sim.conftest import World


class Listener:
    """Stands for the HTTP server."""

    address = ("127.0.0.1", 1)

    def __init__(self, handler: Any, host: str, port: int, **more: Any) -> None:
        self.handler = handler

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        return


async def test_the_controllers_work_while_it_serves_and_stop_listening_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HttpServer", Listener)
    listeners = len(world.cluster.store.listeners)
    async with server.serve(world.cluster, authority="pem") as address:
        assert address == ("127.0.0.1", 1)
        assert len(world.cluster.store.listeners) > listeners
    spaces = world.all("", "configmaps", "kube-system")
    assert any(obj["metadata"]["name"] == "kube-root-ca.crt" for obj in spaces)
