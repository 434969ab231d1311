"""HTTP requests to Services over native streams: real sockets behind the agent's handler, a real session before it."""

import asyncio
import re
from typing import Any

import pytest

from pipeops.agent.services.proxy import ServiceHttpProxy
from pipeops.agent.targets import ServiceTarget
from pipeops.protocol.exchange.native import Framing, HeadFlag
from tests.support.service_tunnel import ServiceTunnel, cluster, server


class Application:
    """Answers what `answer` says, and keeps what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers) or [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
        self.asked: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head)
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if length:
                    self.bodies.append(await reader.readexactly(int(length[1])))
                elif b"chunked" in head:
                    self.bodies.append(await reader.readuntil(b"0\r\n\r\n"))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
                framed = b"ontent-Length" in answer or b"chunked" in answer
                if b"onnection: close" in answer or not framed:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def web(port: int) -> tuple[ServiceTarget, str]:
    target = ServiceTarget("web", "shop", port)
    return target, str(target)


GET = b"GET /a?b=%2e&c HTTP/1.1\r\nhost: shop.example\r\n\r\n"


async def test_a_request_arrives_as_its_client_wrote_it_and_with_nobodys_credential_but_its_own() -> (
    None
):
    app = Application()
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            call = await made.tunnel.ask(
                name,
                b"GET /a//../%2e%2e/x;y?b=%2e&c HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer app\r\n"
                b"cookie: session=1\r\nx-forwarded-for: 192.0.2.1\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\n"
                b"te: trailers, deflate\r\nproxy-authorization: Basic eA==\r\nkeep-alive: 5\r\n\r\n",
                principal=b"\x01\x04root\x00\x00",
            )  # fmt: skip
    assert (call.status, call.body, call.finished) == (200, b"ok", True)
    (asked,) = app.asked
    assert asked == (
        b"GET /a//../%2e%2e/x;y?b=%2e&c HTTP/1.1\r\nHost: shop.example\r\n"
        b"X-Request-Id: 000102030405060708090a0b0c0d0e0f\r\nauthorization: Bearer app\r\n"
        b"cookie: session=1\r\nx-forwarded-for: 192.0.2.1\r\nConnection: TE\r\nTE: trailers\r\n\r\n"
    )
    assert b"mpersonate" not in asked


async def test_connections_are_kept_and_used_again() -> None:
    app = Application()
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            for _ in range(5):
                assert (await made.tunnel.ask(name, GET)).body == b"ok"
    assert (len(app.asked), app.connections) == (5, 1)


@pytest.mark.parametrize("chunked", [False, True])
async def test_request_bodies_are_framed_anew(chunked: bool) -> None:
    app = Application()
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            head = b"POST /x HTTP/1.1\r\nhost: s\r\ncontent-length: 99\r\n\r\n"
            call = await made.tunnel.ask(name, head, b"hello", chunked=chunked)
    assert call.status == 200
    assert app.asked[0].count(b"ontent-") == (0 if chunked else 1)
    assert app.bodies == [b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"]


async def test_a_chunked_answer_keeps_its_trailers() -> None:
    body = b"3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n"
    app = Application(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            call = await made.tunnel.ask(name, GET)
            assert (call.preface.framing, call.body) == (Framing.CHUNKED, body)
            call = await made.tunnel.ask(name, GET, flags=int(HeadFlag.CLOSE_DELIMITED))
            assert (call.preface.framing, call.body) == (Framing.CLOSE, b"abc")


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    app = Application(b"HTTP/1.0 200 OK\r\n\r\nto the end")
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            call = await made.tunnel.ask(name, GET)
    assert (call.preface.framing, call.body, call.finished) == (Framing.CLOSE, b"to the end", True)


async def test_a_websocket_carries_bytes_both_ways_until_either_side_ends() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello"
        )
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async with server(echo) as port:
        target, name = web(port)
        async with cluster(target) as made:
            call = made.tunnel.open(
                name,
                b"GET /ws HTTP/1.1\r\nhost: s\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\r\n",
                flags=int(HeadFlag.UPGRADE),
            )
            await call.until_body(b"hello")
            assert call.preface.framing is Framing.UPGRADE
            call.send(b"x" * 300_000)
            await call.until(lambda: len(call.body) == 300_005)
            call.send(b"", fin=True)
            await call.whole()
    assert call.finished


async def test_what_nothing_in_the_cluster_offers_is_refused_and_not_even_looked_up() -> None:
    app = Application()
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            for other in (f"web.shop:{port + 1}", f"web.other:{port}", f"db.shop:{port}"):
                call = await made.tunnel.ask(other, GET)
                assert (call.status, call.failure) == (403, "refused")
            made.published.replace([])
            call = await made.tunnel.ask(name, GET)
            assert (call.status, call.failure) == (403, "refused")
    assert app.connections == 0


async def test_failures_say_which_they_are() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with server(silent) as quiet, server(rude) as closing, server(rude) as gone:
        pass
    async with server(silent) as quiet, server(rude) as closing:
        targets = [
            ServiceTarget("web", "shop", quiet),
            ServiceTarget("web", "shop", closing),
            ServiceTarget("web", "shop", gone),
            ServiceTarget("none", "shop", 80),
            ServiceTarget("meta", "shop", 80),
        ]
        addresses: dict[str, list[str]] = {"none.shop": [], "meta.shop": ["169.254.169.254"]}
        async with cluster(*targets, addresses=addresses) as made:
            ask = made.tunnel.ask
            late = await ask(f"web.shop:{quiet}", GET, deadline_ms=200)
            assert (late.status, late.failure) == (504, "upstream-timeout")
            broken = await ask(f"web.shop:{closing}", GET)
            assert (broken.status, broken.failure) == (502, "broken-answer")
            refused = await ask(f"web.shop:{gone}", GET)
            assert (refused.status, refused.failure) == (502, "unreachable")
            nothing = await ask("none.shop:80", GET)
            assert (nothing.status, nothing.failure) == (503, "no-such-service")
            assert (await ask("meta.shop:80", GET)).failure == "refused"
            assert (await ask("web.shop:80/x", GET)).failure == "bad-request"
            bad = await ask(f"web.shop:{quiet}", b"GET /x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
            assert (bad.status, bad.failure) == (400, "bad-request")
            assert b'"causes":[{"reason":"FailedHop","message":"agent"}' in bad.body


async def test_deadlines_of_answers_that_came_in_time_are_forgotten_at_once() -> None:
    app = Application()
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()

    def call_later(*call: Any) -> asyncio.TimerHandle:
        timers.append(loop.call_later(*call))
        return timers[-1]

    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            tunnel = ServiceTunnel(ServiceHttpProxy(made.routes, call_later=call_later))
            for _ in range(20):
                assert (await tunnel.ask(name, GET, deadline_ms=60_000)).status == 200
    assert len(timers) == 20
    assert all(timer.cancelled() for timer in timers)


async def test_an_address_that_refuses_is_passed_over_for_any_request_that_was_not_sent() -> None:
    app = Application()
    async with server(app, host="127.0.0.3") as port:
        target, name = web(port)
        known = {"web.shop": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}
        async with cluster(target, addresses=known) as made:
            for _ in range(6):
                call = await made.tunnel.ask(name, b"POST /x HTTP/1.1\r\nhost: s\r\n\r\n", b"once")
                assert call.status == 200
    assert app.bodies == [b"once"] * 6


async def test_a_kept_connection_that_dies_is_replaced_for_get_and_not_for_post() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    app = Application(ok, b"", ok, b"", ok)
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            assert (await made.tunnel.ask(name, GET)).body == b"ok"
            assert (await made.tunnel.ask(name, GET)).body == b"ok"
            call = await made.tunnel.ask(name, b"POST /x HTTP/1.1\r\nhost: s\r\n\r\n", b"once")
            assert (call.status, call.failure) == (502, "broken-answer")
    assert app.connections == 2


async def test_a_broken_download_is_announced_and_never_looks_complete() -> None:
    app = Application(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf")
    async with server(app) as port:
        target, name = web(port)
        async with cluster(target) as made:
            call = await made.tunnel.ask(name, GET)
            assert (call.finished, call.was_reset) == (False, True)
            ((code, message),) = made.tunnel.ends
    assert code == "failed"
    assert f"the service {name} closed the connection in the middle" in message


async def test_a_client_that_reads_nothing_stalls_its_service_and_takes_no_memory() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        try:
            for _ in range(500):
                writer.write(bytes(100_000))
                await writer.drain()
                sent += 100_000
        except ConnectionError:
            pass
        writer.close()

    async with server(flood) as port:
        target, name = web(port)
        async with cluster(target) as made:
            call = made.tunnel.open(name, GET, hold=True)
            call.send(b"", fin=True)
            await call.until(lambda: len(call.received) > 100_000)
            await asyncio.sleep(0.5)
            assert sent < 20_000_000
            call.release()
            await call.whole()
    assert (call.finished, len(call.body)) == (True, 50_000_000)
