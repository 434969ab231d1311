"""Which ports are listened on, for whom."""

import errno
from dataclasses import replace
from typing import Any

import pytest

from pipeops.control.forwards import ports as module
from pipeops.control.forwards.ports import LISTENING, ForwardPorts
from pipeops.control.store.errors import Conflict
from pipeops.control.store.forwards import Forward, WantedForward
from pipeops.protocol.messages.registration import ForwardOffer
from tests.unit.control.forwards.routes import FORWARD, Registry

WANTED = WantedForward(name="pg", protocol="tcp", port=0, target="pg.db:5432", by_agent=False)


class Store:
    """Ports in memory."""

    def __init__(self, *known: Forward) -> None:
        self.known = {forward.name: forward for forward in known}

    async def list(self) -> list[Forward]:
        return list(self.known.values())

    async def put(self, cluster_id: str, wanted: Any, ports: Any, busy: Any) -> Forward:
        taken = {one.port for one in self.known.values() if one.name != wanted.name}
        kept = self.known[wanted.name].port if wanted.name in self.known else 0
        port = wanted.port or kept or next((p for p in ports if p not in taken | busy), 0)
        if not port or port in taken:
            raise Conflict("no port of the range is free")
        made = Forward(
            cluster_id, "edge", wanted.name, wanted.protocol, port, wanted.target,
            wanted.by_agent, wanted.inactivity,
        )  # fmt: skip
        self.known[wanted.name] = made
        return made

    async def remove(self, cluster_id: str, name: str) -> None:
        del self.known[name]


class Listening:
    """Instead of sockets."""

    clients = 2

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.closed = False

    def sweep(self, now: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Made:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store, registry: Any) -> None:
        self.busy: set[int] = set()
        self.listeners: list[Listening] = []

        async def listen(host: str, forward: Forward, open_route: Any) -> Listening:
            if forward.port in self.busy:
                raise OSError(errno.EADDRINUSE, "in use")
            self.listeners.append(Listening(forward))
            return self.listeners[-1]

        monkeypatch.setattr(module, "listen", listen)
        self.store = store
        self.ports = ForwardPorts(
            store, registry, host="127.0.0.1", ports=range(15000, 15003), now=lambda: 0.0
        )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch, Store(), Registry())


def offer(name: str = "pg", **more: Any) -> ForwardOffer:
    return ForwardOffer(name=name, local_addr="localhost:5432", **more)


async def test_what_an_agent_offers_is_listened_for(made: Made) -> None:
    grants = await made.ports.offered("id", [offer(), offer("web")], 60.0)
    assert [(grant.name, grant.remote_port, grant.status) for grant in grants] == [
        ("pg", 15000, LISTENING),
        ("web", 15001, LISTENING),
    ]
    assert made.listeners[0].forward.inactivity == 60.0
    (status, _) = made.ports.status()
    assert (status.clients, status.connected, status.status) == (2, True, LISTENING)


async def test_the_same_offer_again_changes_nothing_and_a_missing_one_ends(made: Made) -> None:
    await made.ports.offered("id", [offer(), offer("web")], 0.0)
    grants = await made.ports.offered("id", [offer("web")], 0.0)
    assert grants[0].remote_port == 15001
    assert [listener.closed for listener in made.listeners] == [True, False]
    assert list(made.store.known) == ["web"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (offer(remote_port=80), "outside 15000-15002"),
        (offer(protocol="sctp"), "tcp or udp"),
        (offer(""), "needs a name"),
    ],
)
async def test_offers_that_cannot_be(made: Made, bad: ForwardOffer, said: str) -> None:
    (grant,) = await made.ports.offered("id", [bad], 0.0)
    assert said in grant.status
    assert made.listeners == []


async def test_a_busy_port_is_passed_over_at_first_and_waited_for_later(made: Made) -> None:
    made.busy.add(15000)
    forward = await made.ports.put("id", WANTED)
    assert forward.port == 15001
    made.ports._forget(("id", "pg"))
    made.busy.add(15001)
    await made.ports._restore()
    (status,) = made.ports.status()
    assert (status.forward.port, status.status) == (15001, "another program uses this port")
    made.busy.clear()
    await made.ports._retry()
    assert made.ports.status()[0].status == LISTENING


async def test_ports_run_out(made: Made) -> None:
    grants = await made.ports.offered("id", [offer(str(number)) for number in range(4)], 0.0)
    assert grants[3].status == "no port of the range is free"


async def test_removal_and_limits(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    await made.ports.put("id", WANTED)
    await made.ports.remove("id", "pg")
    assert made.listeners[0].closed
    await made.ports.put("id", WANTED)
    made.ports.forget_cluster("id")
    assert made.ports.status() == []
    with pytest.raises(ValueError, match="outside"):
        await made.ports.put("id", replace(WANTED, port=1))
    none = ForwardPorts(made.store, Registry(), host="", ports=range(0), now=lambda: 0.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="forwards no ports"):
        await none.put("id", WANTED)


async def test_what_the_agent_cannot_carry_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, Store(replace(FORWARD, protocol="udp")), Registry(native=False))
    await made.ports._restore()
    assert "datagrams" in made.ports.status()[0].status
