"""Database failures become messages that say what to do."""

import sqlite3

import pytest
import sqlalchemy as sa

from pipeops.control.store.errors import Conflict, StoreUnavailable, StoreUnusable
from pipeops.control.store.failures import translate, translated


def sqlite_error(name):
    error = sqlite3.OperationalError("text of the driver")
    error.sqlite_errorname = name
    return sa.exc.OperationalError("SELECT secret", {}, error)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("SQLITE_BUSY", StoreUnavailable, "locked"),
        ("SQLITE_BUSY_SNAPSHOT", StoreUnavailable, "locked"),
        ("SQLITE_FULL", StoreUnavailable, "full"),
        ("SQLITE_READONLY_DIRECTORY", StoreUnavailable, "written"),
        ("SQLITE_CANTOPEN", StoreUnavailable, "opened"),
        ("SQLITE_IOERR_WRITE", StoreUnavailable, "file system"),
        ("SQLITE_CORRUPT", StoreUnusable, "damaged"),
        ("SQLITE_NOTADB", StoreUnusable, "not a PipeOps database"),
    ],
)
def test_each_sqlite_failure_has_its_message(name, kind, says):
    error = translate(sqlite_error(name), "/data/pipeops.db")
    assert type(error) is kind
    assert says in str(error)
    assert "/data/pipeops.db" in str(error)
    assert error.hint
    assert "secret" not in str(error)


def test_unknown_failures_are_temporary():
    assert type(translate(OSError("refused"), "db")) is StoreUnavailable
    assert "free in time" in str(translate(sa.exc.TimeoutError(), "db"))


def test_integrity_errors_are_conflicts():
    error = sa.exc.IntegrityError("INSERT", {}, sqlite3.IntegrityError())
    assert type(translate(error, "db")) is Conflict


def test_block_keeps_the_cause():
    with pytest.raises(StoreUnavailable) as caught, translated("db"):
        raise sqlite_error("SQLITE_FULL")
    assert isinstance(caught.value.__cause__, sa.exc.OperationalError)
