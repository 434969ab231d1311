"""UserTokenStore."""

import pytest

from pipeops.control.store.errors import Conflict, NotFound
from pipeops.control.store.records import Role


async def add(store, number=1, role=Role.USER, **more):
    return await store.user_tokens.add(
        label=more.pop("label", f"token {number}"),
        token_hash=bytes([number]) * 32,
        prefix="pipeops_u_ab",
        user="ada",
        groups=["dev", "ops"],
        role=role,
        **more,
    )


async def test_round_trip_keeps_every_field(store):
    made = await add(store, clusters=["prod"], expires_at=1_800_000_000.5)
    assert await store.user_tokens.find(b"\x01" * 32) == made
    assert made.groups == ("dev", "ops")
    assert made.clusters == ("prod",)
    assert await store.user_tokens.list() == (made,)


async def test_no_allow_list_is_not_an_empty_one(store):
    everything = await add(store, 1)
    nothing = await add(store, 2, clusters=[])
    assert [t.clusters for t in (everything, nothing)] == [None, ()]
    assert {t.clusters for t in await store.user_tokens.list()} == {None, ()}


async def test_revocation_is_final_and_repeatable(store, wall):
    made = await add(store)
    first = await store.user_tokens.revoke(made.id)
    assert first.revoked_at == wall.time
    wall.time += 9
    assert await store.user_tokens.revoke(made.id) == first
    with pytest.raises(NotFound):
        await store.user_tokens.revoke("gone")


async def test_the_last_valid_admin_token_cannot_be_revoked(store, wall):
    admin = await add(store, 1, Role.ADMIN)
    await add(store, 2, Role.USER)
    await add(store, 3, Role.ADMIN, expires_at=wall.time - 1)
    with pytest.raises(Conflict, match="last valid administrator"):
        await store.user_tokens.revoke(admin.id)
    await add(store, 4, Role.ADMIN)
    await store.user_tokens.revoke(admin.id)


async def test_revoking_by_label_takes_even_the_last_admin(store):
    admin = await add(store, 1, Role.ADMIN, label="bootstrap")
    assert await store.user_tokens.revoke_labelled("bootstrap") == (admin.id,)
    assert await store.user_tokens.revoke_labelled("bootstrap") == ()


async def test_use_and_states_are_recorded(store, wall):
    made = await add(store)
    await store.user_tokens.mark_used(made.id)
    assert (await store.user_tokens.list())[0].last_used_at == wall.time
    assert (await store.user_tokens.states([made.id]))[made.id].revoked_at is None
