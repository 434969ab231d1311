"""Statements shared by the token tables."""

from pipeops.control.store.schema import user_tokens
from pipeops.control.store.token_rows import read_states


async def test_more_ids_than_one_statement_holds(store):
    cluster = await store.clusters.add("prod")
    made = await store.cluster_tokens.add(cluster.id, token_hash=b"1" * 32, prefix="p")
    states = await store.cluster_tokens.states([str(n) for n in range(1201)] + [made.id])
    assert list(states) == [made.id]


async def test_no_ids_need_no_statement(store):
    async with store.database.reading() as connection:
        assert await read_states(connection, user_tokens, []) == {}
