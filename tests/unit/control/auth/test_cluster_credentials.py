import stat

import pytest

from pipeops.control.auth.cluster_credentials import (
    ClusterCredentials,
    CredentialKeyError,
    Sealer,
    load_key,
)
from pipeops.runtime.secrets import Secret

KEY = bytes(range(32))


async def test_a_credential_survives_a_restart_and_is_not_stored_in_clear(store):
    cluster = await store.clusters.add("edge")
    first = ClusterCredentials(store.cluster_credentials, Sealer(KEY))
    assert await first.registered(cluster.id, "eyJ.secret") == Secret("eyJ.secret")
    assert b"secret" not in (await store.cluster_credentials.get(cluster.id) or b"")
    second = ClusterCredentials(store.cluster_credentials, Sealer(KEY))
    assert await second.registered(cluster.id, None) == Secret("eyJ.secret")


async def test_the_newest_credential_wins(store):
    cluster = await store.clusters.add("edge")
    credentials = ClusterCredentials(store.cluster_credentials, Sealer(KEY))
    await credentials.registered(cluster.id, "old")
    await credentials.registered(cluster.id, "new")
    assert await credentials.registered(cluster.id, None) == Secret("new")
    await credentials.forget(cluster.id)
    assert await credentials.registered(cluster.id, None) is None


async def test_another_key_opens_nothing(store):
    cluster = await store.clusters.add("edge")
    await ClusterCredentials(store.cluster_credentials, Sealer(KEY)).registered(cluster.id, "x")
    other = ClusterCredentials(store.cluster_credentials, Sealer(bytes(32)))
    assert await other.registered(cluster.id, None) is None


def test_a_sealed_credential_opens_for_its_own_cluster_only():
    sealer = Sealer(KEY)
    sealed = sealer.seal("one", Secret("t"))
    assert sealer.open("one", sealed) == Secret("t")
    assert sealer.open("two", sealed) is None
    assert sealer.open("one", sealed[:-1]) is None
    assert sealer.open("one", b"") is None
    assert sealer.seal("one", Secret("t")) != sealed


@pytest.mark.parametrize("bad", ["a b", "a\r\nX: y", "\u00e4", "x" * 20000])
async def test_what_is_no_token_is_not_kept(store, bad):
    cluster = await store.clusters.add("edge")
    credentials = ClusterCredentials(store.cluster_credentials, Sealer(KEY))
    assert await credentials.registered(cluster.id, bad) is None
    assert await store.cluster_credentials.get(cluster.id) is None


def test_the_key_file_is_private_and_stays_the_same(tmp_path):
    path = tmp_path / "credentials.key"
    key = load_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path) == key


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "credentials.key"
    load_key(path)
    path.chmod(0o644)
    with pytest.raises(CredentialKeyError, match="chmod 600"):
        load_key(path)


def test_a_damaged_key_file_is_refused(tmp_path):
    path = tmp_path / "credentials.key"
    path.touch(0o600)
    path.write_bytes(b"short")
    with pytest.raises(CredentialKeyError, match="damaged"):
        load_key(path)


def test_what_is_sealed_for_one_purpose_opens_for_no_other():
    key = bytes(32)
    sealed = Sealer(key, b"one").seal("a", Secret("text"))
    assert Sealer(key, b"one").open("a", sealed) == Secret("text")
    assert Sealer(key, b"two").open("a", sealed) is None
    assert Sealer(key).open("a", sealed) is None
