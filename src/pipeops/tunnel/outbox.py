"""Outbox: whose turn it is when a lane's WebSocket is full."""

from typing import Protocol


class Writer(Protocol):
    """Somebody with messages to send, in order."""

    def emit(self) -> bool:
        """Send one message; True if more waits."""

    def close(self) -> None:
        """The lane is lost: forget what waits."""


class PausableLink(Protocol):
    """The part of a tunnel link that decides whether anything may be sent."""

    @property
    def is_paused(self) -> bool:
        """The socket is full."""


class Outbox:
    """Sends at once while the socket takes messages, one message of each writer in turn when it takes them again."""

    __slots__ = ("_link", "_waiting")

    def __init__(self, link: PausableLink) -> None:
        self._link = link
        self._waiting: dict[Writer, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """What is submitted now waits."""
        return self._link.is_paused or bool(self._waiting)

    def submit(self, writer: Writer) -> None:
        """`writer` has something to send."""
        if self._waiting or not self._send_all(writer):
            self._waiting[writer] = None

    def _send_all(self, writer: Writer) -> bool:
        """Send until nothing waits (True) or the socket is full (False)."""
        while not self._link.is_paused:
            if not writer.emit():
                return True
        return False

    def resume(self) -> None:
        """The socket takes messages again."""
        waiting, link = self._waiting, self._link
        while waiting and not link.is_paused:
            writer = next(iter(waiting))
            del waiting[writer]
            if writer.emit():
                waiting[writer] = None

    def close(self) -> None:
        """The lane is lost."""
        waiting, self._waiting = self._waiting, {}
        for writer in waiting:
            writer.close()
