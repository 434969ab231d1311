"""The bounded inbox of a channel."""

import asyncio

from tests.support.channels import Inbox


async def test_the_end_stays_readable() -> None:
    inbox = Inbox()
    await inbox.put(b"a")
    await inbox.end()
    await inbox.put(b"late")
    assert [await inbox.read() for _ in range(3)] == [b"a", b"", b""]


async def test_a_full_inbox_stalls_until_it_is_read() -> None:
    inbox = Inbox(chunks=1)
    await inbox.put(b"1")
    async with asyncio.TaskGroup() as group:
        stalled = group.create_task(inbox.put(b"2"))
        await asyncio.sleep(0)
        assert not stalled.done()
        assert await inbox.read() == b"1"
    assert await inbox.read() == b"2"


async def test_discarding_frees_a_stalled_connection() -> None:
    inbox = Inbox(chunks=1)
    await inbox.put(b"1")
    async with asyncio.TaskGroup() as group:
        group.create_task(inbox.put(b"2"))
        await asyncio.sleep(0)
        inbox.discard()
    await inbox.put(b"3")
    await inbox.end()


async def test_an_abort_drops_what_was_not_read() -> None:
    inbox = Inbox(chunks=1)
    await inbox.put(b"unread")
    inbox.abort()
    assert await inbox.read() == b""
