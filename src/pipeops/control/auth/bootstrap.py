"""The first administrator token, handed over in a file."""

import asyncio
from pathlib import Path

from pipeops.control.auth.tokens import TokenKind, digest, kind_of, new_token, shown_prefix
from pipeops.control.store.records import Role
from pipeops.control.store.user_tokens import UserTokenStore
from pipeops.runtime.private_file import write_private

BOOTSTRAP_LABEL = "bootstrap administrator"
BOOTSTRAP_USER = "pipeops-admin"
BOOTSTRAP_GROUPS = ("pipeops:admins",)


async def ensure_admin_token(store: UserTokenStore, path: Path) -> bool:
    """Make sure that `path` holds a valid administrator token; return whether it was written.

    Whoever can write the data directory owns the installation, so deleting the file and restarting
    is how a lost token is replaced: the one made before is revoked.

    Raises:
        StoreError: The store cannot be used.
        OSError: The file cannot be read or written.
    """
    token = await asyncio.to_thread(_read, path)
    if token is not None:
        record = await store.find(digest(token))
        if record is not None and record.revoked_at is None and record.role is Role.ADMIN:
            return False
    await store.revoke_labelled(BOOTSTRAP_LABEL)
    made = new_token(TokenKind.USER)
    # The file first: a token that is stored but was never handed over would be lost for good.
    await asyncio.to_thread(write_private, path, made + "\n")
    await store.add(
        label=BOOTSTRAP_LABEL,
        token_hash=digest(made.encode()),
        prefix=shown_prefix(made),
        user=BOOTSTRAP_USER,
        groups=BOOTSTRAP_GROUPS,
        role=Role.ADMIN,
    )
    return True


def _read(path: Path) -> bytes | None:
    try:
        token = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    return token if kind_of(token) is TokenKind.USER else None
