"""Who consumes a stream: the three calls a session makes."""

from typing import Final, Protocol


class StreamSink(Protocol):
    """Receives what happens on one stream. Called by the session; must not block or await.

    A sink may send, reset, open streams and even close the session from inside a call.
    An exception it raises resets its stream only and goes to the session's `on_sink_error`.
    """

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 -- one call per frame: a keyword would cost
        """Take bytes; `fin` means that the peer will send no more (then `data` may be empty).

        `data` is borrowed: after the return it may be overwritten, so keep `bytes(data)`.
        Call `Stream.consumed` once the bytes have left us, at once or later.
        """

    def on_reset(self) -> None:
        """The stream is gone: the peer reset it or the session ended. No call follows."""

    def on_writable(self) -> None:
        """`Stream.send` answered False before; now it may be called again."""


class NullSink:
    """Drops everything: stands in before a stream's real sink is known and after its end."""

    __slots__ = ()

    def on_data(self, data: memoryview, fin: bool) -> None:  # noqa: FBT001 -- see StreamSink
        """Drop the bytes; their credit never returns, so a peer cannot use it as a drain."""

    def on_reset(self) -> None:
        """Nothing was started, so nothing is to be undone."""

    def on_writable(self) -> None:
        """Nobody waits."""


#: One is enough: it has no state.
NULL_SINK: Final = NullSink()
