"""Budget: a bound on what many exchanges keep in memory together."""


class Budget:
    """Counts bytes that wait; whoever takes them gives them back."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self, size: int) -> bool:
        """Reserve `size` bytes; False, and nothing reserved, when that is too much."""
        if self.taken + size > self.limit:
            return False
        self.taken += size
        return True

    def give_back(self, size: int) -> None:
        """Return reserved bytes."""
        self.taken -= size
