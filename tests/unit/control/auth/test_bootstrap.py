"""The first administrator token."""

import stat

from pipeops.control.auth.bootstrap import ensure_admin_token
from pipeops.control.auth.tokens import digest
from pipeops.control.store.records import Role


async def test_first_start_hands_over_a_private_file(store, tmp_path):
    path = tmp_path / "admin-token"
    assert await ensure_admin_token(store.user_tokens, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    record = await store.user_tokens.find(digest(path.read_bytes().strip()))
    assert record.role is Role.ADMIN


async def test_later_starts_change_nothing(store, tmp_path):
    path = tmp_path / "admin-token"
    await ensure_admin_token(store.user_tokens, path)
    before = path.read_bytes()
    assert not await ensure_admin_token(store.user_tokens, path)
    assert path.read_bytes() == before
    assert len(await store.user_tokens.list()) == 1


async def test_a_deleted_file_is_replaced_and_its_token_revoked(store, tmp_path):
    path = tmp_path / "admin-token"
    await ensure_admin_token(store.user_tokens, path)
    old = digest(path.read_bytes().strip())
    path.unlink()
    assert await ensure_admin_token(store.user_tokens, path)
    assert (await store.user_tokens.find(old)).revoked_at is not None


async def test_a_file_of_another_database_is_replaced(store, tmp_path):
    path = tmp_path / "admin-token"
    path.write_text("pipeops_u_" + "a" * 43)
    assert await ensure_admin_token(store.user_tokens, path)
    assert await store.user_tokens.find(digest(path.read_bytes().strip())) is not None
