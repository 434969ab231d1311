"""Database: one engine, its transactions, and how SQLite is tuned."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pipeops.control.store.errors import StoreUnavailable, StoreUnusable
from pipeops.control.store.failures import translated
from pipeops.control.store.migrate import upgrade

BUSY_TIMEOUT = 5.0
"""Seconds a writer waits for another process's write before it gives up."""

_WRITING = "pipeops_writing"


class Database:
    """An open database whose schema is current.

    SQLite runs in WAL mode on driver threads, PostgreSQL over its async driver: neither blocks the event loop.
    """

    def __init__(self, engine: AsyncEngine, where: str) -> None:
        self._engine = engine
        self.where = where

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Connect and bring the schema up to date.

        Args:
            url: ``sqlite:///path/to/file.db`` or ``postgresql://user:password@host/name``.

        Raises:
            StoreUnavailable: It cannot be reached or written now.
            StoreUnusable: It is damaged, newer than this program, or the URL is wrong.
        """
        parsed = _parse(url)
        where = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            where = parsed.database
            await asyncio.to_thread(_prepare_file, Path(parsed.database))
        engine = _engine(parsed)
        try:
            with translated(where):
                async with engine.connect() as connection:
                    writer = await connection.execution_options(**{_WRITING: True})
                    async with writer.begin():
                        await writer.run_sync(upgrade)
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, where)

    async def close(self) -> None:
        """Close every connection; open transactions are rolled back."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view of the data for the length of the block."""
        with translated(self.where):
            async with self._engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed when the block ends and rolled back when it raises."""
        with translated(self.where):
            async with self._engine.connect() as connection:
                writer = await connection.execution_options(**{_WRITING: True})
                async with writer.begin():
                    yield writer

    async def ping(self) -> None:
        """Raise `StoreUnavailable` when the database does not answer."""
        async with self.reading() as connection:
            await connection.execute(sa.text("SELECT 1"))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise StoreUnusable(
            "the database URL cannot be parsed",
            hint="write it as sqlite:///path/to/pipeops.db or postgresql://user:password@host/name",
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+asyncpg")
    raise StoreUnusable(
        f"databases of kind {backend!r} are not supported",
        hint="use a sqlite:/// or postgresql:// URL",
    )


def _prepare_file(path: Path) -> None:
    """Make the directory and an empty file, readable by their owner only.

    SQLite gives its WAL and shared-memory files the mode of the main file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"the database file {path} cannot be created or written: {error.strerror}",
            hint=f"make {path.parent} writable for this user, or choose another data directory",
        ) from error


def _engine(url: URL) -> AsyncEngine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_async_engine(
                url, pool_size=5, max_overflow=5, pool_timeout=10, pool_pre_ping=True
            )
        engine = create_async_engine(
            url,
            pool_size=4,
            max_overflow=0,
            pool_timeout=10,
            connect_args={"timeout": BUSY_TIMEOUT},
        )
    except ImportError as error:
        raise StoreUnusable(
            f"the driver for this database is not installed: {error.name}",
            hint=f"install it: pip install {error.name}",
        ) from error
    sa.event.listen(engine.sync_engine, "connect", _on_connect)
    sa.event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: object) -> None:
    # None hands transactions to us: the driver's own begin only before some statements, and never
    # before DDL, which would leave half a migration behind.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL cannot corrupt; FULL would also make the last commit survive a power
        # cut, which matters to us: a token that was shown must exist.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _on_begin(connection: sa.Connection) -> None:
    # A deferred transaction which turns writer half-way fails at once when another wrote
    # meanwhile, whatever the busy timeout; an immediate one waits its turn.
    writing = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
