"""A client's request on a connection of our own: framing, one more try, and honest ends."""

from typing import Any

from pipeops.control.edge.proxied_exchange import ProxiedExchange
from pipeops.protocol.errors import SessionClosed
from pipeops.protocol.exchange.native import Framing
from tests.unit.control.edge.fakes import FakeClient, request
from tests.unit.control.edge.pipes import Owner

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ask(raw: bytes = b"GET /x HTTP/1.1\r\n") -> tuple[Owner, FakeClient, ProxiedExchange]:
    owner, client = Owner(), FakeClient()
    exchange = ProxiedExchange(request(raw), client, owner, watch=False)
    exchange.start(b"/x", b"host: a\r\n")
    return owner, client, exchange


def answer(owner: Owner, data: bytes) -> None:
    owner.made[-1].on_plaintext(memoryview(data))


def test_a_request_and_its_answer() -> None:
    owner, client, _ = ask()
    assert owner.made[0].pipe.sent == b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"
    answer(owner, OK)
    assert (client.body, client.framing, client.ended) == (b"ok", Framing.LENGTH, "finished")


def test_bodies_are_framed_anew() -> None:
    owner, _, exchange = ask(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n")
    exchange.on_body(memoryview(b"abc"), False)
    exchange.on_body(memoryview(b""), True)
    assert owner.made[0].pipe.sent.endswith(
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    owner, _, exchange = ask(b"PUT /x HTTP/1.1\r\nContent-Length: 3\r\n")
    exchange.on_body(memoryview(b"abc"), True)
    assert owner.made[0].pipe.sent.endswith(b"Content-Length: 3\r\n\r\nabc")


def test_a_full_pipe_pauses_the_client() -> None:
    owner, client, exchange = ask(b"PUT /x HTTP/1.1\r\nContent-Length: 9\r\n")
    owner.made[0].pipe.full = True
    exchange.on_body(memoryview(b"abc"), False)
    assert client.paused
    exchange.on_writable()
    assert not client.paused


def test_an_upgrade_carries_bytes_and_ends() -> None:
    owner, client, exchange = ask(
        b"GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    )
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in owner.made[0].pipe.sent
    answer(owner, b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
    exchange.on_body(memoryview(b"ho"), True)
    assert owner.made[0].pipe.sent.endswith(b"ho")
    assert owner.made[0].pipe.finished
    owner.made[0].on_closed("")
    assert (client.body, client.ended) == (b"hi", "finished")


def test_a_stale_connection_is_no_reason_to_fail() -> None:
    owner, client, _ = ask()
    answer(owner, OK)
    exchange = ProxiedExchange(request(b"GET /x HTTP/1.1\r\n"), FakeClient(), owner, watch=False)
    exchange.start(b"/x", b"")
    owner.made[-1].on_closed("")
    assert owner.fresh == [False, False, True]
    assert client.ended == "finished"


def test_a_broken_answer_is_a_failure_before_its_head_and_an_abort_after_it() -> None:
    owner, client, _ = ask()
    owner.made[0].on_closed("reset")
    assert client.ended == "502 service: the server cannot be reached: reset"
    owner, client, _ = ask()
    answer(owner, OK[:-1])
    owner.made[0].on_closed("reset")
    assert client.ended == "aborted: service: reset"


def test_a_client_that_goes_takes_its_connection_with_it() -> None:
    owner, client, exchange = ask()
    exchange.on_client_gone()
    assert owner.made[0].over
    assert (client.ended, exchange.over) == ("", True)


def test_without_a_connection_the_client_is_told() -> None:
    class Nowhere:
        def send(self, *_: Any, **__: Any) -> None:
            raise SessionClosed("gone")

    client = FakeClient()
    ProxiedExchange(request(b"GET /x HTTP/1.1\r\n"), client, Nowhere(), watch=False).start(
        b"/", b""
    )
    assert client.ended == "503 tunnel: gone"
