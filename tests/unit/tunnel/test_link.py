"""A link flushes once a turn, drops a silent peer, and tells every stream and its owner of the end."""

import gc
import weakref
from typing import Any

import pytest

from pipeops.protocol.limits import Limits
from pipeops.protocol.mux.session import Role
from pipeops.tunnel.link import TunnelLink
from tests.support.sockets import RecordingSocket


class Owner:
    """Remembers what it is told; accepts streams with itself as sink."""

    def __init__(self) -> None:
        self.lost: list[tuple[int, str]] = []
        self.texts: list[bytes] = []
        self.received = b""
        self.resets = 0

    def on_link_open(self, link: TunnelLink) -> None:
        pass

    def on_link_text(self, link: TunnelLink, data: bytes) -> None:
        self.texts.append(data)

    def on_link_lost(self, link: TunnelLink, code: int, reason: str) -> None:
        self.lost.append((code, reason))

    def on_stream(self, link: TunnelLink, stream: Any) -> Any:
        return self

    def on_sink_error(self, link: TunnelLink, stream: Any, error: Exception) -> None:
        raise error

    def on_data(self, data: memoryview, fin: bool) -> None:
        self.received += bytes(data)

    def on_reset(self) -> None:
        self.resets += 1

    def on_writable(self) -> None:
        pass


class FakeLoop:
    """Time and callbacks under the test's control."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Any] = []
        self.timers: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Any, *args: Any) -> None:
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Any) -> Any:
        return self.call_at(self.now + delay, callback)

    def call_at(self, when: float, callback: Any) -> Any:
        entry = (when, callback)
        self.timers.append(entry)
        return self

    def cancel(self) -> None:
        pass

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, callback in sorted(due, key=lambda timer: timer[0]):
            callback()


def link(
    role: Role = Role.SERVER, limits: Limits | None = None
) -> tuple[TunnelLink, RecordingSocket, Owner, FakeLoop]:
    loop, owner = FakeLoop(), Owner()
    made = TunnelLink(role, limits or Limits(), owner, loop=loop)  # type: ignore[arg-type]
    socket = RecordingSocket(made)
    made.on_open(socket)  # type: ignore[arg-type]
    return made, socket, owner, loop


def test_everything_of_one_turn_leaves_as_one_message() -> None:
    made, socket, owner, loop = link()
    session = made.start_session()
    for _ in range(5):
        session.open(owner).send(b"x" * 100, True)
    assert socket.batches == []
    loop.turn()
    assert len(socket.batches) == 1
    assert len(socket.batches[0]) == 5 * 112


def test_much_in_one_turn_leaves_in_a_few_messages_each_twice_as_long() -> None:
    made, socket, owner, loop = link(limits=Limits(early_batch=1000))
    session = made.start_session()
    for turn in range(2):
        socket.batches.clear()
        for _ in range(40):
            session.open(owner).send(b"x" * 100, True)
        loop.turn()
        sizes = [len(batch) for batch in socket.batches]
        assert sum(sizes) == 40 * 112, turn
        assert len(sizes) == 3, sizes
        assert sizes[0] < sizes[1] <= 2200
        assert session.data_to_send() is None


def test_a_socket_that_fills_up_in_mid_turn_gets_nothing_more_of_it() -> None:
    made, socket, owner, loop = link(limits=Limits(early_batch=1000))
    session = made.start_session()
    send = socket.send_batch

    def fills_up(batch: bytearray, headroom: int) -> None:
        send(batch, headroom)
        made.on_pause()

    socket.send_batch = fills_up  # type: ignore[method-assign]
    for _ in range(40):
        session.open(owner).send(b"x" * 100, True)
    loop.turn()
    assert len(socket.batches) == 1
    socket.send_batch = send  # type: ignore[method-assign]
    made.on_resume()
    loop.turn()
    assert sum(len(batch) for batch in socket.batches) == 40 * 112


def test_two_ends_carry_a_stream() -> None:
    here, socket, owner, loop = link()
    there, _, peer, _ = link(Role.CLIENT)
    session = here.start_session()
    there.start_session()
    session.open(owner).send(b"hello", True)
    loop.turn()
    for batch in socket.batches:
        there.on_binary(memoryview(batch))
    assert peer.received == b"hello"


def test_a_full_socket_stops_the_batches_until_it_drains() -> None:
    made, socket, owner, loop = link()
    session = made.start_session()
    made.on_pause()
    session.open(owner).send(b"x", True)
    loop.turn()
    assert socket.batches == []
    made.on_resume()
    loop.turn()
    assert len(socket.batches) == 1


def ticks(loop: FakeLoop, seconds: float) -> None:
    for _ in range(int(seconds / 0.5)):
        loop.advance(0.5)


LIVELY = Limits(keepalive_interval=10.0, keepalive_timeout=15.0)


def test_a_silent_peer_is_asked_soon_and_dropped_before_the_time_is_over() -> None:
    made, socket, owner, loop = link(limits=LIVELY)
    ticks(loop, 9.5)
    made.on_text(b"{}")  # the last that is heard
    pings = socket.pings
    ticks(loop, 6)
    assert socket.pings > pings
    ticks(loop, 6)
    assert owner.lost == []
    ticks(loop, 3)
    assert owner.lost == [(1006, "no answer for 12.5 s")]


def test_a_longer_silence_is_borne_if_the_limits_say_so() -> None:
    _, _, owner, loop = link(limits=Limits(keepalive_interval=10.0, keepalive_timeout=60.0))
    ticks(loop, 55)
    assert owner.lost == []
    ticks(loop, 5)
    assert owner.lost != []


def test_a_time_shorter_than_the_ping_interval_still_asks_first() -> None:
    _, socket, owner, loop = link(limits=Limits(keepalive_interval=30.0, keepalive_timeout=8.0))
    ticks(loop, 5)
    assert (socket.pings, owner.lost) == (1, [])
    ticks(loop, 3)
    assert owner.lost == [(1006, "no answer for 6 s")]


def test_a_peer_that_answers_or_sends_anything_lives() -> None:
    made, socket, owner, loop = link(limits=LIVELY)
    for _ in range(5):
        ticks(loop, 10)
        made.on_pong()
    ticks(loop, 10)
    made.on_text(b"{}")
    ticks(loop, 10)
    assert owner.lost == []
    assert socket.pings >= 6


def test_the_loss_of_the_socket_resets_every_stream_and_tells_the_owner() -> None:
    made, _, owner, _ = link()
    session = made.start_session()
    session.open(owner).send(b"x")
    made.on_close(1006, "gone")
    assert owner.resets == 1
    assert owner.lost == [(1006, "gone")]
    assert not made.is_open


def test_closing_ends_streams_at_once_even_if_the_peer_takes_nothing() -> None:
    made, socket, owner, _ = link()
    session = made.start_session()
    session.open(owner).send(b"x")
    made.close(1001, "stopping")
    assert owner.resets == 1
    assert socket.closed == (1001, "stopping")


@pytest.mark.parametrize("data", [b"\xff" * 12, b"\x00\x09" + b"\x00" * 10])
def test_garbage_ends_the_session_with_a_protocol_error(data: bytes) -> None:
    made, socket, _, _ = link()
    made.start_session()
    made.on_binary(memoryview(data))
    assert socket.closed is not None
    assert socket.closed[0] == 1002


def test_binary_before_the_negotiation_is_refused() -> None:
    made, _, owner, _ = link()
    made.on_binary(memoryview(b"x"))
    assert owner.lost[0][0] == 1006


def test_what_was_lost_is_gone_without_a_garbage_collection() -> None:
    made, socket, owner, _ = link()
    made.on_resumed.add(owner.on_writable)
    made.start_session()
    owner_kept = weakref.ref(owner)
    gc.disable()
    try:
        socket.abort("gone")
        assert owner.lost == [(1006, "gone")]
        del owner
        assert owner_kept() is None
        assert (made.session, made.is_open) == (None, False)
        made.send_text(b"to nobody")
    finally:
        gc.enable()
