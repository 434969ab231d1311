"""ReadBuffer: the one buffer all sockets of a process read into (performance.md §8)."""

READ_BUFFER_BYTES = 256 * 1024


class ReadBuffer:
    """Shared by every BufferedProtocol of one event loop: each consumes its bytes before it returns."""

    __slots__ = ("view",)

    def __init__(self, size: int = READ_BUFFER_BYTES) -> None:
        self.view = memoryview(bytearray(size))
