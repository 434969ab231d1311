"""Opening databases, good and bad."""

import asyncio
import os
import sqlite3
import stat

import pytest
import sqlalchemy as sa

from pipeops.control.store.database import Database
from pipeops.control.store.errors import Conflict, StoreUnavailable, StoreUnusable
from pipeops.control.store.schema import clusters


async def test_file_and_its_companions_are_private(url, store, tmp_path):
    await store.clusters.add("one")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "data").iterdir()}
    assert modes["pipeops.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


async def test_sqlite_is_tuned(store):
    async with store.database.reading() as connection:
        for pragma, value in {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "busy_timeout": 5000,
        }.items():
            assert (await connection.execute(sa.text(f"PRAGMA {pragma}"))).scalar() == value


async def test_what_was_written_survives_reopening(url, wall, store):
    await store.clusters.add("one")
    second = await Database.open(url)
    async with second.reading() as connection:
        assert (await connection.execute(sa.select(clusters.c.name))).scalars().all() == ["one"]
    await second.close()


async def test_a_failed_transaction_leaves_nothing(store):
    async def fail_half_way():
        async with store.database.writing() as connection:
            await connection.execute(clusters.insert().values(id="1", name="x", created_at=1.0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_half_way()
    assert await store.clusters.names() == ()


async def test_writers_wait_for_each_other(store):
    async def bump(number):
        async with store.database.writing() as connection:
            found = await connection.execute(sa.select(sa.func.count()).select_from(clusters))
            count = found.scalar_one()
            await asyncio.sleep(0)
            await connection.execute(
                clusters.insert().values(id=str(number), name=f"n{count}", created_at=1.0)
            )

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(bump(number))
    # Had two of them read the same count, the unique name would have refused the second.
    assert len(await store.clusters.names()) == 12


async def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be created") as caught:
        await Database.open(f"sqlite:///{tmp_path}/file/data/pipeops.db")
    assert "writable" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_an_unwritable_directory_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="cannot be created"):
        await Database.open(f"sqlite:///{tmp_path}/pipeops.db")


async def test_a_file_that_is_no_database_is_refused_untouched(tmp_path):
    path = tmp_path / "pipeops.db"
    path.write_bytes(b"these are not the bytes you are looking for" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="not a PipeOps database") as caught:
        await Database.open(f"sqlite:///{path}")
    assert "backup" in caught.value.hint
    assert path.read_bytes() == before


async def test_a_damaged_database_says_so(url, store, tmp_path):
    for number in range(300):
        async with store.database.writing() as connection:
            await connection.execute(
                clusters.insert().values(id=str(number), name=f"n{number}" * 20, created_at=1.0)
            )
    await store.close()
    path = tmp_path / "data" / "pipeops.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    async def read_everything():
        database = await Database.open(url)
        try:
            async with database.reading() as connection:
                await connection.execute(sa.select(clusters))
        finally:
            await database.close()

    with pytest.raises(StoreUnusable, match="damaged"):
        await read_everything()


async def test_a_newer_schema_is_refused(url, store, tmp_path):
    await store.close()
    with sqlite3.connect(tmp_path / "data" / "pipeops.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StoreUnusable, match="newer version"):
        await Database.open(url)


async def test_a_full_disk_is_named_and_later_writes_work(store):
    async def add(size, most_pages):
        async with store.database.writing() as connection:
            pages = (await connection.execute(sa.text("PRAGMA page_count"))).scalar()
            limit = pages if most_pages is None else most_pages
            await connection.execute(sa.text(f"PRAGMA max_page_count = {limit}"))
            await connection.execute(
                clusters.insert().values(id=str(size), name="x" * size, created_at=1.0)
            )

    with pytest.raises(StoreUnavailable, match=r"disk .* is full"):
        await add(100_000, None)
    assert await store.clusters.names() == ()
    await add(9000, 1_000_000)
    assert len(await store.clusters.names()) == 1


@pytest.mark.parametrize("url", ["mysql://u:secret@h/db", "no url", "oracle://x"])
async def test_unsupported_urls_are_refused_without_their_password(url):
    with pytest.raises(StoreUnusable) as caught:
        await Database.open(url)
    assert "secret" not in f"{caught.value} {caught.value.hint}"


async def test_ping_answers(store):
    await store.database.ping()


async def test_duplicate_rows_are_conflicts(store):
    row = {"id": "1", "name": "x", "created_at": 1.0}

    async def add_twice():
        async with store.database.writing() as connection:
            await connection.execute(clusters.insert(), [row, row])

    with pytest.raises(Conflict):
        await add_twice()
