"""Errors of the store, each with what to do about it."""


class StoreError(Exception):
    """The store could not do what was asked.

    Attributes:
        hint: What the operator or caller can do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotFound(StoreError):
    """Nothing is stored under this name or id."""


class Conflict(StoreError):
    """The name is taken, or the record changed meanwhile."""


class StoreUnavailable(StoreError):
    """The database cannot be reached or written just now; trying again later may help."""


class StoreUnusable(StoreError):
    """The database needs a person: it is damaged, too new, or not ours to open."""
