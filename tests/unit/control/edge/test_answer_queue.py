"""Answers of one turn: when they leave, and that nothing overtakes them."""

import asyncio
import socket
from collections.abc import Callable

from pipeops.control.edge.answer_queue import AnswerQueue
from pipeops.control.edge.connection import ClientConnection
from pipeops.protocol.exchange.native import Framing
from tests.support.transports import RecordingTransport
from tests.support.turns import turns
from tests.unit.control.edge.test_connection import GET, OK, FakeEdge


async def test_answers_leave_at_the_end_of_the_turn() -> None:
    queue, first, second = AnswerQueue(), RecordingTransport(), RecordingTransport()
    queue.add(first, b"a")
    queue.add(second, b"b")
    assert first.take() == second.take() == b""
    await turns(1)
    assert (first.take(), second.take()) == (b"a", b"b")
    queue.add(first, b"c")
    await turns(1)
    assert first.take() == b"c"


async def test_a_second_answer_to_one_client_follows_the_first() -> None:
    queue, transport = AnswerQueue(), RecordingTransport()
    queue.add(transport, b"one")
    queue.add(transport, b"two")
    await turns(1)
    assert transport.take() == b"onetwo"


async def test_what_is_released_is_written_at_once_and_once() -> None:
    queue, transport, other = AnswerQueue(), RecordingTransport(), RecordingTransport()
    queue.add(transport, b"a")
    queue.add(other, b"b")
    queue.release(transport)
    assert (transport.take(), other.take()) == (b"a", b"")
    queue.release(transport)
    await turns(1)
    assert (transport.take(), other.take()) == (b"", b"b")


async def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    queue, gone, here = AnswerQueue(), RecordingTransport(), RecordingTransport()
    queue.add(gone, b"a")
    queue.add(here, b"b")
    gone.abort()
    await turns(1)
    assert (gone.take(), here.take()) == (b"", b"b")


class Broken(RecordingTransport):
    """Takes nothing."""

    def write(self, data: bytes) -> None:
        raise RuntimeError("unable to write")


async def test_one_client_that_cannot_be_written_to_costs_no_other_its_answer() -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, said: told.append(said))
    queue, broken, other = AnswerQueue(), Broken(), RecordingTransport()
    queue.add(broken, b"a")
    queue.add(other, b"b")
    await turns(1)
    assert other.take() == b"b"
    assert broken.aborted
    assert [str(said["exception"]) for said in told] == ["unable to write"]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await turns(1)


async def test_an_answer_reaches_a_client_that_finishes_sending_in_the_same_turn() -> None:
    edge, accepted = FakeEdge(), list[ClientConnection]()

    def accept() -> ClientConnection:
        accepted.append(ClientConnection(edge))
        return accepted[-1]

    def answer() -> None:
        tunnel.recv(1)
        accepted[0].begin(OK + b"hi", Framing.LENGTH, 200, reusable=True)
        accepted[0].finish()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(accept, "127.0.0.1", 0)
    agent, tunnel = socket.socketpair()
    loop.add_reader(tunnel, answer)
    with agent, tunnel, socket.create_connection(server.sockets[0].getsockname()) as client:
        client.sendall(GET)
        await until(lambda: edge.requests)
        agent.send(b"x")  # first in this order, so that the loop wakes up for both at once
        client.shutdown(socket.SHUT_WR)
        await until(lambda: not edge.connections)
        assert client.recv(1000) == OK + b"hi"
        loop.remove_reader(tunnel)
    server.close()
