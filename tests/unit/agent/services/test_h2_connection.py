"""One HTTP/2 connection, its server played by the library."""

from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection as Machine
from h2.errors import ErrorCodes
from h2.events import RequestReceived, SettingsAcknowledged, StreamReset
from h2.settings import SettingCodes

from pipeops.agent.services import h2_connection as module
from pipeops.agent.services.h2_connection import H2Connection
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH
from tests.unit.agent.services.h2_pieces import Asked, Loop, Owner, Wire

POST = b"POST / HTTP/1.1\r\nhost: h\r\n\r\n"
OK = [(b":status", b"200")]


class Pair:
    """A connection and its server."""

    def __init__(self, **settings: int) -> None:
        self.owner, self.wire = Owner(), Wire()
        self.connection = H2Connection(self.owner, Loop(), tls=False)  # type: ignore[arg-type]
        self.server = Machine(H2Configuration(client_side=False, header_encoding=None))
        self.server.initiate_connection()
        if settings:
            self.server.update_settings(
                {SettingCodes[name.upper()]: value for name, value in settings.items()}
            )
        self.events: list[Any] = []
        self.connection.connection_made(self.wire)
        self.turn()

    def turn(self) -> None:
        """Carry bytes until there are none."""
        while True:
            up, down = self.wire.take(), self.server.data_to_send()
            if not up and not down:
                return
            if up:
                self.events += self.server.receive_data(up)
            if down:
                self.connection.data_received(down)

    def ask(self, asked: Asked | None = None) -> Asked:
        asked = asked or Asked()
        self.connection.take(asked.exchange)
        self.turn()
        return asked

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


def test_the_windows_are_told_at_the_start() -> None:
    pair = Pair()
    assert SettingsAcknowledged in pair.kinds()
    assert pair.server.remote_settings.initial_window_size == module.STREAM_WINDOW
    assert pair.server.remote_settings.enable_push == 0
    pair.ask()
    assert pair.server.outbound_flow_control_window == module.CONNECTION_WINDOW


def test_the_servers_limit_of_streams_is_kept() -> None:
    pair = Pair(max_concurrent_streams=2)
    first = pair.ask()
    assert pair.connection.has_room
    pair.ask()
    assert not pair.connection.has_room
    pair.server.send_headers(1, OK, end_stream=True)
    pair.turn()
    assert first.stream.local_finished
    assert (pair.connection.has_room, pair.owner.rooms) == (True, 1)


def test_a_socket_that_is_full_stops_bodies_until_it_drains() -> None:
    pair = Pair()
    asked = pair.ask(Asked(POST, length=UNKNOWN_LENGTH))
    pair.connection.pause_writing()
    asked.body(b"wait")
    assert asked.stream.credit == 0
    pair.connection.resume_writing()
    assert asked.stream.credit == 4


def test_a_window_that_opens_lets_bodies_go_on() -> None:
    pair = Pair(initial_window_size=4)
    asked = pair.ask(Asked(POST, length=UNKNOWN_LENGTH))
    asked.body(b"12345678")
    pair.turn()
    assert asked.stream.credit == 4
    pair.server.increment_flow_control_window(2, 1)
    pair.turn()
    assert asked.stream.credit == 6
    pair.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100})
    pair.turn()
    assert asked.stream.credit == 8


def test_a_lost_connection_ends_what_it_carried() -> None:
    pair = Pair()
    get, post = pair.ask(), pair.ask(Asked(POST))
    pair.connection.connection_lost(OSError("reset by peer"))
    assert get.reports[0] == (502, get.reports[0][1])
    assert "it closed the connection: reset by peer" in post.reports[0][1]
    assert get.way.again_for == []  # the first use of a connection: it was not stale
    assert (pair.owner.lost_connections, pair.connection.live) == (1, False)


def test_a_get_on_a_stale_connection_is_sent_again() -> None:
    pair = Pair()
    pair.ask()
    pair.server.send_headers(1, OK, end_stream=True)
    pair.turn()
    get = pair.ask()
    pair.connection.connection_lost(None)
    assert (get.way.again_for, get.reports) == ([get.exchange], [])


def test_a_stream_that_the_server_refused_was_not_worked_on() -> None:
    pair = Pair()
    get, post = pair.ask(), pair.ask()
    pair.server.reset_stream(1, ErrorCodes.REFUSED_STREAM)
    pair.server.reset_stream(3, ErrorCodes.INTERNAL_ERROR)
    pair.turn()
    assert get.way.again_for == [get.exchange]
    assert "INTERNAL_ERROR" in post.reports[0][1]
    assert pair.connection.live


def go_away(last: int) -> bytes:
    return b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + bytes(4)


def test_after_go_away_the_streams_it_names_finish_and_the_others_go_elsewhere() -> None:
    pair = Pair()
    kept, sent_away = pair.ask(), pair.ask()
    pair.connection.data_received(go_away(1))
    assert sent_away.way.again_for == [sent_away.exchange]
    assert not pair.connection.live
    assert not pair.wire.closed
    pair.server.send_headers(1, OK)
    pair.server.send_data(1, b"all", end_stream=True)
    pair.turn()
    assert kept.stream.local_finished
    assert pair.wire.closed


def test_garbage_ends_the_connection_and_says_so() -> None:
    pair = Pair()
    asked = pair.ask()
    pair.connection.data_received(b"\0\0\x05\0\0\0\0\0\0hello")
    assert "broke the rules of HTTP/2" in asked.reports[0][1]
    assert pair.wire.aborted


def test_another_protocol_is_named() -> None:
    owner, wire = Owner(), Wire()
    connection = H2Connection(owner, Loop(), tls=False)  # type: ignore[arg-type]
    connection.connection_made(wire)
    asked = Asked()
    connection.take(asked.exchange)
    connection.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "it speaks HTTP/1.1" in asked.reports[0][1]


def test_a_request_that_http2_has_no_words_for_is_refused() -> None:
    """And its connection takes no more: both sides' tables of known fields may differ now."""
    pair = Pair()
    before = pair.ask()
    asked = Asked()
    asked.exchange.request.fields.crossing.append((b":evil", b"x"))
    pair.ask(asked)
    assert asked.reports[0][0] == 400
    assert pair.kinds().count(RequestReceived) == 1
    assert not pair.connection.has_room
    pair.server.send_headers(1, OK, end_stream=True)
    pair.turn()
    assert before.stream.local_finished
    assert pair.wire.closed


def test_a_client_that_left_resets_its_stream_only() -> None:
    pair = Pair()
    asked = pair.ask()
    asked.stream.sink.on_reset()
    pair.turn()
    assert StreamReset in pair.kinds()
    assert pair.connection.live
    assert pair.connection.idle


def test_data_for_streams_that_were_given_up_returns_its_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONNECTION_WINDOW", 100_000)
    pair = Pair()
    for number in range(1, 101, 2):
        asked = pair.ask()
        pair.server.send_headers(number, OK)
        pair.server.send_data(number, bytes(8192))
        late = pair.server.data_to_send()
        asked.stream.sink.on_reset()
        pair.connection.data_received(late)
        pair.turn()
    assert pair.server.outbound_flow_control_window > 40_000


def test_s30_a_server_that_floods_and_does_not_read_is_dropped() -> None:
    pair = Pair()
    asked = pair.ask()
    pair.wire.waiting = module.MAX_UNREAD + 1
    pair.connection.sweep(5.0, 10.0)
    assert pair.wire.aborted
    assert asked.reports[0][0] == 502


def test_late_heads_are_given_up() -> None:
    pair = Pair()
    asked = pair.ask()
    pair.connection.sweep(1000.0, 10.0)
    assert asked.reports[0][0] == 504


def test_leaving_waits_for_the_last_request() -> None:
    pair = Pair()
    pair.ask()
    pair.connection.leave()
    assert not pair.wire.closed
    pair.server.send_headers(1, OK, end_stream=True)
    pair.turn()
    assert pair.wire.closed
    idle = Pair()
    idle.connection.leave()
    assert idle.wire.closed
