"""Errors of the store, each with what to do about it."""


class StoreError(Exception):
    """The store could not do what was asked.

    Attributes:
        hint: What the operator or caller can do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class NotFound(StoreError):  # noqa: N818 - reads as what happened
    """Nothing is stored under this name or id."""


class Conflict(StoreError):  # noqa: N818 - reads as what happened
    """The name is taken, or the record changed meanwhile."""


class StoreUnavailable(StoreError):  # noqa: N818 - reads as what happened
    """The database cannot be reached or written just now; trying again later may help."""


class StoreUnusable(StoreError):  # noqa: N818 - reads as what happened
    """The database needs a person: it is damaged, too new, or not ours to open."""
