"""HTTP/2 clients of the public gateway that send anything: no exception, and nothing is kept once they are gone."""

import asyncio
import random

import pytest

from pipeops.protocol.exchange.native import Framing
from tests.support.transports import feed
from tests.unit.control.public.http2.test_connection import Bench

RUNS = 40  # of each seed


def _sent(bench: Bench, rng: random.Random) -> bytearray:
    """What a client would send, then changed anywhere behind its preface."""
    for number in range(rng.randint(1, 4)):
        method = rng.choice(["GET", "POST"])
        field = ("x-a", "b" * rng.randint(0, 300))
        ends = rng.random() < 0.5
        stream = bench.request(f"/{number}", "app.example.com", method, field, end=ends)
        if not ends:
            bench.h2.send_data(stream, b"x" * rng.randint(0, 500))
    data = bytearray(bench.h2.data_to_send())
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(24, len(data))
        kind = rng.random()
        if kind < 0.5:
            data[at] = rng.randrange(256)
        elif kind < 0.75:
            del data[at : at + rng.randint(1, 9)]
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 12))
    return data


def _answer(bench: Bench, rng: random.Random) -> None:
    """What ways do at any time."""
    for stream in bench.streams:
        kind = rng.random()
        if kind < 0.2:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            stream.begin(head, Framing.LENGTH, 200, reusable=True)
            stream.finish()
        elif kind < 0.3:
            stream.pause_body()
        elif kind < 0.4:
            stream.resume_body()
        elif kind < 0.5:
            stream.write(b"z" * rng.randint(0, 90_000))
        elif kind < 0.55:
            stream.abort("x")


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_comes_nothing_breaks_and_nothing_stays(seed: int) -> None:
    rng = random.Random(seed)
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: broken.append(context))
    for _ in range(RUNS):
        bench = Bench()
        data = _sent(bench, rng)
        while data and not bench.socket.closed:
            size = rng.randint(1, 400)
            feed(bench.connection, bytes(data[:size]))
            del data[:size]
            _answer(bench, rng)
            await asyncio.sleep(0)
        bench.connection.connection_lost(None)
        assert (len(bench.connection._streams), bench.connection._held) == (0, 0)
        assert all(stream.over or stream.ended for stream in bench.streams)
        assert not bench.edge.connections
    assert broken == []
