"""Errors of the store, each with what to do about it.

```text
PipeOpsError
└─ StoreError
   ├─ NotFound           nothing has this name or id
   ├─ Conflict           the name is taken, or the record is needed
   ├─ StoreUnavailable   not now: unreachable, locked, full, read-only                      retryable
   └─ StoreUnusable      needs a person: damaged, too new, wrong URL
```
"""

from typing import ClassVar

from pipeops.errors import PipeOpsError


class StoreError(PipeOpsError):
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

    retryable: ClassVar[bool] = True


class StoreUnusable(StoreError):
    """The database needs a person: it is damaged, too new, or not ours to open."""
