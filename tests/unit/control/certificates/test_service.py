"""Files, uploads and ACME in one book."""

import asyncio
import random
import shutil
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from pipeops.control.auth.cluster_credentials import Sealer
from pipeops.control.certificate_settings import AcmeSettings, CertificateSettings
from pipeops.control.certificates.certificate import CertificateError, Source
from pipeops.control.certificates.issuer import Issued
from pipeops.control.certificates.renewal import renewal_time
from pipeops.control.certificates.service import PURPOSE, Certificates
from pipeops.control.store.errors import Conflict, NotFound, StoreUnavailable
from pipeops.runtime.secrets import Secret
from tests.support.turns import turns

ACME = AcmeSettings(directory="https://ca.example/dir", hosts=("acme.example.com",))


class Bench:
    def __init__(self, store, authority, clock):
        self.store, self.authority, self.clock = store.certificates, authority, clock
        self.key = bytes(32)
        self.routes = []
        self._count = 0

    def make(self, **settings):
        return Certificates(
            CertificateSettings(**settings),
            self.store,
            Sealer(self.key, PURPOSE),
            clock=self.clock,
            rng=random.Random(1),
            wanted_hosts=lambda: self.routes,
        )

    def pair(self, *hosts):
        self._count += 1
        made = self.authority.server(f"{id(self)}-{self._count}", *hosts)
        return made.certificate.read_bytes(), Secret(made.key.read_bytes())

    async def issued(self, certificates, host):
        chain, key = self.pair(host)
        await certificates._issued(host, Issued(chain, key))
        return certificates.book.find(host.replace("*", "any"))


@pytest.fixture
def bench(store, authority, clock):
    return Bench(store, authority, clock)


@pytest.fixture
async def run():
    tasks = []

    async def start(certificates):
        tasks.append(asyncio.create_task(certificates.run()))
        async with asyncio.timeout(20):
            await certificates.ready.wait()
        await turns(10)

    yield start
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_an_upload_is_in_force_at_once_and_after_a_restart(bench):
    certificates = bench.make()
    status = await certificates.upload("A.example.com", *bench.pair("a.example.com"), by="ada")
    assert (status.added_by, status.renews_at, status.problem) == ("ada", None, "")
    assert certificates.book.find("a.example.com") is status.certificate
    again = bench.make()
    assert again.book.find("a.example.com") is None
    assert await again.load()
    (found,) = again.status()
    assert found.certificate.fingerprint == status.certificate.fingerprint
    assert found.added_by == "ada"


async def test_keys_are_sealed_for_their_host_and_never_shown(bench):
    certificates = bench.make()
    chain, key = bench.pair("a.example.com", "b.example.com")
    status = await certificates.upload("a.example.com", chain, key, by="ada")
    (stored,) = await bench.store.list()
    assert b"PRIVATE" not in stored.sealed_key
    assert "PRIVATE" not in repr((status, stored, certificates.problems()))
    await bench.store.remove("a.example.com", "upload")
    await bench.store.put(replace(stored, host="b.example.com"))  # a thief's row
    again = bench.make()
    await again.load()
    assert again.book.find("b.example.com") is None
    assert "cannot be opened" in again.problems()["b.example.com (upload)"]
    assert await again.remove("b.example.com", by="ada") is Source.UPLOAD
    assert (again.problems(), await bench.store.list()) == ({}, [])


@pytest.mark.parametrize(
    ("host", "names", "why"),
    [
        ("b.example.com", ("a.example.com",), "it is for a.example.com"),
        ("*.example.com", ("a.example.com",), "it is for a.example.com"),
        ("x.a.example.com", ("*.example.com",), r"it is for \*\.example\.com"),
        ("not a host", ("a.example.com",), "expected a host name"),
        ("a.example.com", ("127.0.0.1",), "it is for no host"),
    ],
)
async def test_an_upload_must_be_for_its_host(bench, host, names, why):
    certificates = bench.make()
    with pytest.raises(CertificateError, match=why):
        await certificates.upload(host, *bench.pair(*names), by="ada")
    assert certificates.status() == []


async def test_a_wildcard_may_be_uploaded_for_itself_and_for_a_host(bench):
    certificates = bench.make()
    for host in ("*.example.com", "a.example.com"):
        await certificates.upload(host, *bench.pair("*.example.com"), by="ada")
    assert [one.certificate.label for one in certificates.status()] == [
        "*.example.com",
        "a.example.com",
    ]


async def test_an_upload_goes_before_acme_and_leaves_it_there(bench):
    certificates = bench.make(acme=ACME)
    acme = await bench.issued(certificates, "acme.example.com")
    assert acme.source is Source.ACME
    assert certificates.status()[0].renews_at == renewal_time(acme)
    await certificates.upload("acme.example.com", *bench.pair("acme.example.com"), by="ada")
    assert certificates.book.find("acme.example.com").source is Source.UPLOAD
    assert await certificates.remove("acme.example.com", by="ada") is Source.UPLOAD
    assert certificates.book.find("acme.example.com") is acme
    assert await certificates.remove("acme.example.com", by="ada") is Source.ACME
    with pytest.raises(NotFound):
        await certificates.remove("acme.example.com", by="ada")


async def test_what_another_acme_server_issued_is_served_but_does_not_count(bench):
    staging = bench.make(acme=replace(ACME, directory="https://staging.example/dir"))
    await bench.issued(staging, "acme.example.com")
    certificates = bench.make(acme=ACME)
    await certificates.load()
    assert certificates.book.find("acme.example.com") is not None
    assert (await certificates.orders.look()).due == ("acme.example.com",)
    await bench.issued(certificates, "acme.example.com")
    assert (await certificates.orders.look()).due == ()


async def test_settings_and_routes_want_hosts(bench):
    certificates = bench.make(acme=ACME)
    bench.routes = ["route.example.com"]
    await certificates.orders.look()
    assert [one.host for one in certificates.order_status()] == [
        "acme.example.com",
        "route.example.com",
    ]
    certificates.renew("Route.example.com")
    with pytest.raises(NotFound, match=r"wants a certificate for other\.example\.com"):
        certificates.renew("other.example.com")
    with pytest.raises(Conflict, match="orders no certificates"):
        bench.make().renew("acme.example.com")
    assert bench.make().order_status() == []


async def test_a_host_that_routes_want_now_is_ordered_for_at_once(bench, run):
    certificates = bench.make(acme=replace(ACME, hosts=()))
    await run(certificates)
    bench.routes = ["route.example.com"]
    certificates.hosts_changed()
    async with asyncio.timeout(5):
        while not certificates.order_status():
            await turns()
    (status,) = certificates.order_status()
    assert status.host == "route.example.com"
    bench.make().hosts_changed()


async def test_files_are_served_and_what_is_wrong_with_them_is_said(bench, run, tmp_path):
    folder = tmp_path / "certificates"
    folder.mkdir()
    made = bench.authority.server("filed", "file.example.com")
    shutil.copy(made.certificate, folder / "file.crt")
    shutil.copy(made.key, folder / "file.key")
    certificates = bench.make(directory=folder, default="file")
    await run(certificates)
    assert certificates.book.find("other.example.com").label == "file"  # the default
    (folder / "bad.crt").write_text("nothing")
    for _ in range(2):
        await certificates.files.look()
    assert "bad.key: No such file" in certificates.problems()[str(folder / "bad.crt")]


async def test_an_issued_certificate_that_cannot_be_stored_is_served_and_stored_later(bench):
    certificates = bench.make(acme=ACME)
    real, bench.store.put = bench.store.put, None

    async def refuse(_certificate):
        raise StoreUnavailable("the disk is full")

    bench.store.put = refuse
    with pytest.raises(StoreUnavailable):
        await certificates.upload("a.example.com", *bench.pair("a.example.com"), by="ada")
    assert certificates.book.find("a.example.com") is None
    assert await bench.issued(certificates, "acme.example.com") is not None
    assert certificates.status()[0].problem == "it could not be stored yet"
    await certificates._save()
    bench.store.put = real
    assert await bench.store.list() == []
    await certificates._save()
    assert [one.host for one in await bench.store.list()] == ["acme.example.com"]
    assert certificates.status()[0].problem == ""


async def test_a_store_that_is_away_at_the_start_keeps_no_file_from_being_served(
    bench, run, tmp_path
):
    folder = tmp_path / "certificates"
    folder.mkdir()
    made = bench.authority.server("early", "early.example.com")
    shutil.copy(made.certificate, folder / "early.crt")
    shutil.copy(made.key, folder / "early.key")

    async def fail():
        raise StoreUnavailable("the database is away")

    bench.store.list = fail
    certificates = bench.make(directory=folder)
    await run(certificates)
    assert certificates.book.find("early.example.com") is not None


async def test_expiry_is_warned_about_once_before_and_once_after(bench):
    certificates = bench.make()
    await certificates.upload("a.example.com", *bench.pair("a.example.com"), by="ada")

    def said():
        with capture_logs() as records:
            certificates._warn()
        return [one["event"] for one in records]

    assert said() == []
    bench.clock.advance(86_400 - 3600)
    assert said() == ["certificate expires soon"]
    assert said() == []
    bench.clock.advance(7200)
    assert said() == ["certificate has expired"]
    assert said() == []
    assert certificates.status()[0].problem == "it has expired"
    assert certificates.book.find("a.example.com") is not None
