"""A public request on a connection of the gateway's own."""

from pipeops.control.public.upstream.exchange import UpstreamRequest
from tests.support.public_gateway import route
from tests.unit.control.edge.pipes import Owner
from tests.unit.control.public.upstream.ways import Asking


def begin() -> tuple[Owner, Asking, list[str]]:
    owner, asking, told = Owner(), Asking(route("app.example.com")), []
    exchange = UpstreamRequest(
        asking.forwarded, asking.guard, owner, lambda: told.append(asking.client.ended)
    )
    exchange.start(asking.forwarded.target, asking.forwarded.lines)
    return owner, asking, told


def test_an_answer_is_passed_on_and_so_is_a_401() -> None:
    owner, asking, told = begin()
    assert owner.made[0].pipe.sent == b"GET /x HTTP/1.1\r\nhost: app.example.com\r\n\r\n"
    owner.made[0].on_plaintext(memoryview(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"))
    assert asking.client.head.startswith(b"HTTP/1.1 401 ")
    assert (asking.client.ended, told) == ("finished", [])


def test_it_is_said_that_nobody_answered_before_the_client_is_told() -> None:
    owner, asking, told = begin()
    owner.made[0].on_closed("refused")
    assert told == [""]
    assert asking.client.ended == "502: the application cannot be reached: refused"


def test_an_answer_that_breaks_off_was_one() -> None:
    owner, asking, told = begin()
    owner.made[0].on_plaintext(memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"))
    owner.made[0].on_closed("reset")
    assert told == []
    assert asking.client.ended == "aborted: service: reset"
