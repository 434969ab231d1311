"""Certificates, ACME accounts and failures in the store."""

from dataclasses import replace

import pytest

from pipeops.control.store import certificates as module
from pipeops.control.store.certificates import AcmeAccount, AcmeFailure, StoredCertificate
from pipeops.control.store.errors import Conflict, NotFound

ONE = StoredCertificate(
    host="a.example.com", source="upload", chain=b"chain", sealed_key=b"\x01\x00", added_by="ada"
)


async def test_the_next_certificate_of_a_host_replaces_the_last(store, wall):
    await store.certificates.put(ONE)
    wall.time += 5
    newer = replace(ONE, chain=b"other", added_by="bob")
    await store.certificates.put(newer)
    assert await store.certificates.list() == [replace(newer, updated_at=wall.time)]


async def test_sources_do_not_touch_each_other(store):
    acme = replace(ONE, source="acme", directory="https://ca.example/dir", added_by="")
    for one in (ONE, acme):
        await store.certificates.put(one)
    await store.certificates.remove("a.example.com", "upload")
    assert [one.source for one in await store.certificates.list()] == ["acme"]
    with pytest.raises(NotFound, match="added by upload"):
        await store.certificates.remove("a.example.com", "upload")


async def test_there_is_a_limit_for_each_source(store, monkeypatch):
    monkeypatch.setattr(module, "MAX_CERTIFICATES", 1)
    await store.certificates.put(ONE)
    with pytest.raises(Conflict, match="1 certificates already"):
        await store.certificates.put(replace(ONE, host="b.example.com"))
    await store.certificates.put(replace(ONE, chain=b"renewed"))
    await store.certificates.put(replace(ONE, host="b.example.com", source="acme"))


async def test_one_account_for_each_directory(store):
    account = AcmeAccount("https://ca.example/dir", "https://ca.example/acct/1", b"sealed")
    assert await store.certificates.account(account.directory) is None
    await store.certificates.put_account(replace(account, uri="https://ca.example/acct/0"))
    await store.certificates.put_account(account)
    assert await store.certificates.account(account.directory) == account
    assert await store.certificates.account("https://other.example/dir") is None
    await store.certificates.remove_account(account.directory)
    assert await store.certificates.account(account.directory) is None


async def test_the_last_failure_of_a_host_is_remembered(store):
    first = AcmeFailure("a.example.com", 1, 100.0, "no answer")
    second = AcmeFailure("a.example.com", 2, 200.5, "still no answer")
    for one in (first, second):
        await store.certificates.put_failure(one)
    assert await store.certificates.failures() == {"a.example.com": second}
    await store.certificates.clear_failure("a.example.com")
    assert await store.certificates.failures() == {}
