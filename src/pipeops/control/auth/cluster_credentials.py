"""ClusterCredentials: credentials of clusters whose agents speak the PipeOps dialect, encrypted at rest (AES-GCM)."""

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeops.control.store.cluster_credentials import ClusterCredentialStore
from pipeops.control.store.errors import StoreError
from pipeops.errors import PipeOpsError
from pipeops.runtime.logs import get_logger
from pipeops.runtime.private_file import write_private
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)

KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D; random ones are good for 2**32 encryptions under one key
MAX_CREDENTIAL = 16 * 1024
_VERSION = b"\x01"


class CredentialKeyError(PipeOpsError):
    """The key file cannot be used as it is."""


def load_key(path: Path) -> bytes:
    """Read the key, making the file (0600) when there is none. Blocking.

    Raises:
        CredentialKeyError: others may read it, or it is no key.
        OSError: it cannot be read or written.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        key = secrets.token_bytes(KEY_BYTES)
        write_private(path, key)
        return key
    if stat.S_IMODE(mode) & 0o077:
        raise CredentialKeyError(
            f"the key file {path} can be read by others; make it private: chmod 600 {path}"
        )
    if len(key) != KEY_BYTES:
        raise CredentialKeyError(
            f"the key file {path} is damaged; restore it from a backup, or remove it: agents then register anew,"
            " and certificates must be uploaded again"
        )
    return key


class Sealer:
    """Encrypts a secret so that it opens for its own purpose and owner only: a cluster, a host."""

    def __init__(self, key: bytes, purpose: bytes = b"pipeops cluster credential") -> None:
        self._cipher = AESGCM(key)
        self._purpose = purpose

    def seal(self, owner: str, secret: Secret[str]) -> bytes:
        """Version byte, nonce, ciphertext and tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        text = secret.reveal().encode()
        return _VERSION + nonce + self._cipher.encrypt(nonce, text, self._bound_to(owner))

    def open(self, owner: str, sealed: bytes) -> Secret[str] | None:
        """The secret; None if it was sealed for another owner, with another key, or is damaged."""
        if sealed[:1] != _VERSION or len(sealed) < 1 + NONCE_BYTES:
            return None
        nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return Secret(self._cipher.decrypt(nonce, text, self._bound_to(owner)).decode())
        except (InvalidTag, UnicodeDecodeError):
            return None

    def _bound_to(self, owner: str) -> bytes:
        return self._purpose + b"\0" + owner.encode()


class ClusterCredentials:
    """Keeps what agents registered, across restarts of the control plane."""

    def __init__(self, store: ClusterCredentialStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    async def registered(self, cluster_id: str, credential: str | None) -> Secret[str] | None:
        """Note what an agent registered; without a credential answer the last one it had.

        A store that fails is logged: the agent is connected, and sends its credential with every registration.
        """
        if credential and (len(credential) > MAX_CREDENTIAL or not _is_token(credential)):
            log.warning("unusable credential ignored", cluster_id=cluster_id)
            return None
        try:
            if credential:
                kept = Secret(credential)
                await self._store.put(cluster_id, self._sealer.seal(cluster_id, kept))
                return kept
            return await self._last(cluster_id)
        except StoreError as error:
            log.warning("credential not stored", cluster_id=cluster_id, error=str(error))
            return Secret(credential) if credential else None

    async def _last(self, cluster_id: str) -> Secret[str] | None:
        sealed = await self._store.get(cluster_id)
        if sealed is None:
            return None
        opened = self._sealer.open(cluster_id, sealed)
        if opened is None:
            log.warning(
                "stored credential cannot be opened with this key; the agent must register anew",
                cluster_id=cluster_id,
            )
        return opened

    async def forget(self, cluster_id: str) -> None:
        """Remove the credential of a cluster.

        Raises:
            StoreUnavailable: from the store.
        """
        await self._store.remove(cluster_id)


def _is_token(text: str) -> bool:
    """RFC 6750 §2.1 b64token, loosely: nothing that could leave its header line."""
    return text.isascii() and text.isprintable() and " " not in text
