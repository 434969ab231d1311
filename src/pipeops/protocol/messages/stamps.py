"""Stamps: the wall time as messages carry it, the part that changes once a second formatted once a second."""

from collections.abc import Callable
from datetime import UTC, datetime

from pipeops.protocol.messages.envelope import format_time


class Stamps:
    """As `envelope.format_time`, for whoever writes many messages."""

    __slots__ = ("_front", "_second", "_wall")

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self._second = datetime.min.replace(tzinfo=UTC)
        self._front = b""

    def __call__(self) -> bytes:
        """The time now.

        Raises:
            LocalProtocolError: the clock tells none with a time zone.
        """
        moment = self._wall()
        if moment.tzinfo is not UTC:
            return format_time(moment).encode()
        since = moment - self._second
        if since.seconds or since.days:
            self._second = moment.replace(microsecond=0)
            self._front = format_time(self._second)[:-1].encode()
        fraction = moment.microsecond
        if fraction % 10:
            return b"%b.%06dZ" % (self._front, fraction)
        if not fraction:
            return self._front + b"Z"
        return (b"%b.%06d" % (self._front, fraction)).rstrip(b"0") + b"Z"
