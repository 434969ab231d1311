"""WaitingBytes: what all sessions of a process keep in memory together, for peers and clients that are slow."""


class WaitingBytes:
    """A bound that several sessions share.

    Bytes that have arrived cannot be refused, so `taken` may go beyond `limit`; what is refused then is new streams,
    whose number and windows bound the rest.

    Attributes:
        limit: bytes.
        taken: bytes that wait now. Whoever adds to it subtracts as much.
    """

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    @property
    def exceeded(self) -> bool:
        """Nothing new should be begun."""
        return self.taken > self.limit
