"""Translation of database failures into store errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from pipeops.control.store.errors import (
    Conflict,
    StoreError,
    StoreUnavailable,
    StoreUnusable,
)

_SQLITE: dict[str, tuple[type[StoreError], str, str]] = {
    "SQLITE_BUSY": (
        StoreUnavailable,
        "the database is locked by another process",
        "stop the other process that uses this data directory, or try again",
    ),
    "SQLITE_FULL": (
        StoreUnavailable,
        "the disk that holds the database is full",
        "free space on that file system; nothing that was stored is lost",
    ),
    "SQLITE_READONLY": (
        StoreUnavailable,
        "the database cannot be written",
        "make the data directory and its files writable for this user",
    ),
    "SQLITE_CANTOPEN": (
        StoreUnavailable,
        "the database file cannot be opened",
        "check that the data directory exists and belongs to this user",
    ),
    "SQLITE_IOERR": (
        StoreUnavailable,
        "the file system refused to read or write the database",
        "check the disk and the kernel log; a full disk is the usual cause",
    ),
    "SQLITE_CORRUPT": (
        StoreUnusable,
        "the database is damaged",
        "restore it from a backup, or move the file away to start with an empty one",
    ),
    "SQLITE_NOTADB": (
        StoreUnusable,
        "the file is not a PipeOps database",
        "restore it from a backup, or move the file away to start with an empty one",
    ),
}


def translate(error: Exception, where: str) -> StoreError:
    """Return the store error for a database failure; `where` names the database, without secrets."""
    if isinstance(error, sa.exc.IntegrityError):
        return Conflict("a record with this name or reference already exists or is still in use")
    for cause in _chain(error):
        name = getattr(cause, "sqlite_errorname", None)
        if not isinstance(name, str):
            continue
        # Extended result codes (SQLITE_IOERR_WRITE) start with the primary one.
        for code, (kind, what, hint) in _SQLITE.items():
            if name.startswith(code):
                return kind(f"{what} ({where})", hint=hint)
    if isinstance(error, sa.exc.TimeoutError):
        return StoreUnavailable(
            f"no database connection became free in time ({where})",
            hint="the database is overloaded or hangs; check it and try again",
        )
    return StoreUnavailable(
        f"the database does not answer as it should ({where}): {type(error).__name__}",
        hint="check that the database runs, is reachable, and accepts our user and password",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the driver error inside it, and their causes."""
    seen: BaseException | None = error
    for _ in range(6):
        if seen is None:
            return
        yield seen
        orig = getattr(seen, "orig", None)
        seen = orig if isinstance(orig, BaseException) else seen.__cause__


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn what the database layer raises inside the block into store errors."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise translate(error, where) from error
