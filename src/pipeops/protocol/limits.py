"""Every number that bounds a tunnel session, in one place and each with its reason."""

from dataclasses import dataclass, replace
from typing import Self

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one session. Sizes are bytes, times are seconds.

    All are constructor arguments, so that a test can make flow control happen every few
    bytes. `initial_window` must be the same on both ends: the wire never announces it.

    Raises:
        ValueError: the numbers contradict each other.
    """

    #: Credit that each side has when a stream opens. Fixed by the yamux wire format.
    initial_window: int = 256 * KIB
    #: Largest window that one stream's receiver grows to. 16 MiB carries 477 MB/s at 20 ms and
    #: 214 MB/s at 50 ms, measured; libp2p's yamux stops at the same number.
    max_window: int = 16 * MIB
    #: How far all windows of a session together may grow beyond `initial_window`.
    session_window_budget: int = 64 * MIB
    #: Live streams of a session, both directions together. 5,000 idle watches through one
    #: tunnel were measured; HTTP/2 servers stop at 100 to 1,000 because theirs cost more.
    max_streams: int = 8_192
    #: Streams opened by the peer that we have not answered with any frame yet.
    #: hashicorp/yamux takes 256; ours counts requests that wait for their backend too.
    accept_backlog: int = 4_096
    #: `Stream.send` says "stop" when this much waits in a stream …
    high_water: int = 128 * KIB
    #: … and the sink is told to go on when no more than this waits. Half, as asyncio does
    #: (a quarter there): the source needs one loop turn to start again.
    low_water: int = 64 * KIB
    #: What may wait in all streams of a session before every further `send` says "stop" and
    #: no stream may be opened.
    max_pending_total: int = 32 * MIB
    #: Bytes one stream may add to a batch before the next one has its turn; `max_frame` if none waits.
    #: 16 KiB keeps small answers quick beside a download, at the price of more frames.
    quantum: int = 32 * KIB
    #: A batch (one WebSocket message) takes no further frame once it is this long. 64 KiB favours
    #: latency, 256 KiB bulk; the difference was 5 ms against 80 ms (p99) beside a download.
    batch_bytes: int = 64 * KIB
    #: A batch this long leaves before the turn ends, the next one of the same turn at twice the size, and so on:
    #: with 32 clients the two ends else wait for each other, and a quarter of two cores was idle.
    early_batch: int = 2 * KIB
    #: Largest Data frame we make from one `send`. A message is thus at most `batch_bytes` +
    #: `max_frame` long, which a WebSocket library must buffer whole.
    max_frame: int = 256 * KIB
    #: Frames up to this size may enter the batch although other streams wait for their turn.
    small_frame: int = 4 * KIB
    #: Control frames that may wait while the peer reads nothing: pings and opens that are refused
    #: cost it nothing, so their answers need a bound (compare CVE-2019-9512, HTTP/2 ping flood).
    max_unread_control: int = 1 * MIB
    #: Streams that the peer may reset, or open and be refused, at once (compare CVE-2023-44487,
    #: HTTP/2 rapid reset). Twice `max_streams`: all clients of a cluster may leave together …
    reset_burst: int = 16_384
    #: … and per second. nghttp2 allows 33, for one browser; here a whole cluster's users come by.
    reset_rate: float = 1_000.0
    #: Spare bytes in front of each batch: a masked WebSocket header (RFC 6455 section 5.2).
    headroom: int = 14
    #: Time between two pings, as the WebSocket pings of the Go agent.
    keepalive_interval: float = 10.0
    #: A peer that was asked and from which nothing came for so long is dead. Less than two intervals,
    #: so that whoever waits behind a broken network is told within 20 s; long enough for a roaming uplink.
    keepalive_timeout: float = 15.0
    #: A peer that sends data but leaves a ping unanswered is given longer: its answer may stand
    #: behind a full pipe (16 MiB at 2 Mbit/s take a minute). After that it is broken.
    keepalive_answer_timeout: float = 60.0
    #: Acknowledge each stream at once instead of with the first answer. hashicorp/yamux ends
    #: the session 75 s after an unacknowledged open, and stops opening at 256 of them.
    acknowledge_at_once: bool = False
    #: Streams opened here that the peer has not answered with a frame; 0: no bound of their own. hashicorp/yamux
    #: keeps 256 until its reader accepts them, and resets what comes beyond.
    max_unanswered_opens: int = 0
    #: Window that a stream of the peer has from its acknowledgement on, where both agreed on one
    #: (`max_stream_window_size` of the PipeOps dialect); 0: `initial_window`, and it grows when that pays.
    accept_window: int = 0
    #: Send the end of a stream as a frame of its own, a WindowUpdate as hashicorp/yamux does, instead of with the
    #: last bytes. It handles FIN before the bytes of the same frame, so its reader may see the end and miss them.
    finish_alone: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers with which a session could stall."""
        if not 0 < self.initial_window <= self.max_window <= 0xFFFF_FFFF:
            raise ValueError("windows: 0 < initial_window <= max_window < 4 GiB")
        if self.accept_window > self.max_window:
            raise ValueError("windows: accept_window <= max_window")
        if not 0 <= self.low_water < self.high_water:
            raise ValueError("water marks: 0 <= low_water < high_water")
        if min(self.quantum, self.batch_bytes, self.max_frame, self.max_streams) < 1:
            raise ValueError("quantum, batch_bytes, max_frame and max_streams must be positive")
        if self.keepalive_timeout > self.keepalive_answer_timeout:
            raise ValueError("keepalive_timeout must not exceed keepalive_answer_timeout")

    @classmethod
    def compatible(cls, *, max_window: int = 256 * KIB) -> Self:
        """Defaults towards a hashicorp/yamux peer, with windows that do not grow unless told to."""
        return replace(cls(), max_window=max_window).towards_hashicorp()

    def towards_hashicorp(self, *, window: int = 0) -> Self:
        """These limits with hashicorp/yamux's two peculiarities respected.

        Receive windows may grow here too: its sender takes any credit it is given. `window` is what the peer wants
        them to be from the start, within `max_window`.
        """
        return replace(
            self,
            acknowledge_at_once=True,
            finish_alone=True,
            max_unanswered_opens=256,
            accept_window=min(window, self.max_window),
        )
