"""Turns on a full socket."""

from pipeops.tunnel.outbox import Outbox


class Link:
    """A link that is full after so many messages."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent: list[str] = []

    @property
    def is_paused(self) -> bool:
        return self.room <= 0


class Writer:
    """Has some messages."""

    def __init__(self, link: Link, name: str, count: int) -> None:
        self.link, self.name, self.count = link, name, count
        self.closed = False

    def emit(self) -> bool:
        self.count -= 1
        self.link.room -= 1
        self.link.sent.append(self.name)
        return self.count > 0

    def close(self) -> None:
        self.closed = True


def test_everything_leaves_at_once_while_there_is_room() -> None:
    link = Link(10)
    outbox = Outbox(link)
    outbox.submit(Writer(link, "a", 3))
    assert link.sent == ["a"] * 3
    assert not len(outbox)


def test_writers_take_turns_when_the_socket_is_full() -> None:
    link = Link(2)
    outbox = Outbox(link)
    outbox.submit(Writer(link, "a", 4))
    outbox.submit(Writer(link, "b", 2))
    outbox.submit(Writer(link, "c", 1))
    assert link.sent == ["a", "a"]
    link.room = 3
    outbox.resume()
    assert link.sent[2:] == ["a", "b", "c"]
    link.room = 9
    outbox.resume()
    assert link.sent[5:] == ["a", "b"]
    assert not len(outbox)


def test_nobody_goes_ahead_of_those_who_wait() -> None:
    link = Link(0)
    outbox = Outbox(link)
    outbox.submit(Writer(link, "a", 1))
    link.room = 5
    outbox.submit(Writer(link, "b", 1))
    assert link.sent == []
    outbox.resume()
    assert link.sent == ["a", "b"]


def test_a_lost_lane_closes_whoever_waits() -> None:
    link = Link(0)
    outbox = Outbox(link)
    writer = Writer(link, "a", 1)
    outbox.submit(writer)
    outbox.close()
    assert writer.closed
    outbox.resume()
    assert link.sent == []
