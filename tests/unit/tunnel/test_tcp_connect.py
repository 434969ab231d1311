"""Plain connections: the first address that answers, and nothing left behind."""

import asyncio
import errno
import socket

import pytest

from pipeops.tunnel.tcp_connect import connect


class Loop:
    """Resolves to `addresses`; those in `refused` do not answer."""

    def __init__(self, addresses: list[str], refused: dict[str, OSError]) -> None:
        self.addresses = addresses
        self.refused = refused
        self.tried: list[tuple[str, socket.socket]] = []
        self.hangs = False

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple]:
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 0, "", (each, port)) for each in self.addresses]

    async def sock_connect(self, candidate: socket.socket, address: tuple[str, int]) -> None:
        self.tried.append((address[0], candidate))
        if self.hangs:
            await asyncio.Event().wait()
        if address[0] in self.refused:
            raise self.refused[address[0]]


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    made = Loop(["192.0.2.1", "192.0.2.2"], {})
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def closed(tried: list[tuple[str, socket.socket]]) -> list[bool]:
    return [each.fileno() == -1 for _, each in tried]


async def test_the_first_address_that_answers_is_taken(loop: Loop) -> None:
    loop.refused = {"192.0.2.1": ConnectionRefusedError(errno.ECONNREFUSED, "refused")}
    with await connect("control.example.com", 443) as made:
        assert [address for address, _ in loop.tried] == ["192.0.2.1", "192.0.2.2"]
        assert made is loop.tried[1][1]
        assert not made.getblocking()
        assert closed(loop.tried) == [True, False]


async def test_the_first_failure_is_told(loop: Loop) -> None:
    loop.refused = {"192.0.2.1": OSError(errno.ENETUNREACH, "a"), "192.0.2.2": OSError(5, "b")}
    with pytest.raises(OSError, match="a") as failed:
        await connect("control.example.com", 443)
    assert failed.value.errno == errno.ENETUNREACH
    assert closed(loop.tried) == [True, True]


async def test_a_name_without_an_address_is_one_that_does_not_resolve(loop: Loop) -> None:
    loop.addresses = []
    with pytest.raises(socket.gaierror):
        await connect("control.example.com", 443)


async def test_giving_up_leaves_no_socket(loop: Loop) -> None:
    loop.hangs = True
    connecting = asyncio.ensure_future(connect("control.example.com", 443))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert closed(loop.tried) == [True]
