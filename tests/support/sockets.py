"""A pretend TunnelSocket: what a link sends is kept, what it receives is called by the test."""

from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.negotiation import FEATURES_HEADER


class RecordingSocket:
    """The part of TunnelSocket that a link uses."""

    peer = "192.0.2.1:5"

    def __init__(self, handler: object) -> None:
        self.handler = handler
        self.texts: list[bytes] = []
        self.batches: list[bytes] = []
        self.pings = 0
        self.closed: tuple[int, str] | None = None
        self.features: str | None = None  # what the peer's 101 answer advertised

    def header(self, name: str) -> str | None:
        return self.features if name == FEATURES_HEADER else None

    def send_batch(self, batch: bytearray, headroom: int) -> None:
        self.batches.append(bytes(batch[headroom:]))

    def send_text(self, data: bytes) -> None:
        self.texts.append(data)

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.handler.on_close(code, reason)  # type: ignore[attr-defined]

    def abort(self, reason: str) -> None:
        self.close(1006, reason)

    def messages(self) -> list[Envelope]:
        """Control messages sent since the last call."""
        texts, self.texts = self.texts, []
        return [envelope.decode(text) for text in texts]

    def types(self) -> list[str]:
        """Their types."""
        return [message.type for message in self.messages()]
