"""Certificates from a real ACME server (Pebble): issued, renewed, revoked, expired, refused."""

import asyncio
import random
import ssl
import time
from contextlib import asynccontextmanager

import pytest
from cryptography import x509

from pipeops.control.auth.cluster_credentials import Sealer
from pipeops.control.certificate_settings import AcmeSettings, CertificateSettings, Challenge
from pipeops.control.certificates.certificate import Source
from pipeops.control.certificates.renewal import renewal_time
from pipeops.control.certificates.service import PURPOSE, Certificates
from pipeops.control.store.certificates import StoredCertificate
from pipeops.control.store.opening import open_store
from pipeops.runtime.clock import Clock
from pipeops.runtime.secrets import Secret
from tests.support.certificates import Authority
from tests.support.pebble import BLOCKED, EAB_KEY, EAB_KEY_ID, ChallengeListener, Pebble

pytestmark = [pytest.mark.slow, pytest.mark.go]

KEY = b"k" * 32


class ShiftedClock(Clock):
    """The machine's clock, moved forward by the test."""

    def __init__(self):
        self.ahead = 0.0

    def wall(self):
        return time.time() + self.ahead


class Gateway:
    """The certificates of a control plane, and the listener that answers for them."""

    def __init__(self):
        self.certificates = None
        self.listener = ChallengeListener(self._answer)

    def _answer(self, host, token):
        return self.certificates.responses.answer(host, token) if self.certificates else None


@pytest.fixture(scope="module")
def gateway():
    made = Gateway()
    yield made
    made.listener.close()


@pytest.fixture(scope="module")
def pebble(tmp_path_factory, gateway):
    server = Pebble(tmp_path_factory.mktemp("pebble"), gateway.listener.port)
    yield server
    server.close()


@pytest.fixture
async def store(tmp_path):
    opened = await open_store(f"sqlite:///{tmp_path}/pipeops.db", now=time.time)
    yield opened.certificates
    await opened.close()


@pytest.fixture
def clock():
    return ShiftedClock()


@pytest.fixture
def running(gateway, store, clock):
    """Run the service for these hosts until the block ends."""

    @asynccontextmanager
    async def run(server, *hosts, **more):
        acme = AcmeSettings(
            directory=server.directory_url,
            **{"ca_file": server.ca_file, "terms_accepted": True, "dns_wait": 0.0, **more},
        )
        certificates = Certificates(
            CertificateSettings(acme=acme),
            store,
            Sealer(KEY, PURPOSE),
            clock=clock,
            rng=random.Random(1),
            wanted_hosts=lambda: hosts,
        )
        gateway.certificates = certificates
        task = asyncio.create_task(certificates.run())
        try:
            yield certificates
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=30)
            assert task.cancelled()

    return run


async def until(ready, seconds=60):
    async with asyncio.timeout(seconds):
        while not ready():
            await asyncio.sleep(0.05)


async def issued(certificates, host, besides=None):
    """Wait for a certificate for a host, another than the one that was there before."""
    await until(
        lambda: (
            (found := certificates.book.find(host)) is not None
            and (besides is None or found.fingerprint != besides.fingerprint)
        )
    )
    return certificates.book.find(host)


async def shown(certificates, host, root):
    """The names in the certificate that a client sees, which trusts the ACME server's root only."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificates.book.server_context()
    )
    context = ssl.create_default_context(cadata=root)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    names = writer.get_extra_info("peercert")["subjectAltName"]
    writer.close()
    server.close()
    return [name for _, name in names]


async def test_http_01_a_certificate_is_issued_stored_and_shown(pebble, gateway, running, store):
    async with running(pebble, "app.example.com") as certificates:
        found = await issued(certificates, "app.example.com")
        assert await shown(certificates, "app.example.com", pebble.root()) == ["app.example.com"]
        assert found.source is Source.ACME
        assert gateway.listener.asked[-1].startswith("/.well-known/acme-challenge/")
        token = gateway.listener.asked[-1].rpartition("/")[2]
        await until(lambda: certificates.order_status() == [])
        assert certificates.responses.answer("app.example.com", token) is None  # no longer
        assert await store.failures() == {}
    account = await store.account(pebble.directory_url)
    stored = await store.list()
    assert [(one.host, one.source, one.directory) for one in stored] == [
        ("app.example.com", "acme", pebble.directory_url)
    ]
    assert b"PRIVATE" not in stored[0].sealed_key + account.sealed_key
    count = len(gateway.listener.asked)
    async with running(pebble, "app.example.com", "two.example.com") as certificates:
        await issued(certificates, "two.example.com")
        assert certificates.book.find("app.example.com").fingerprint == found.fingerprint
    assert await store.account(pebble.directory_url) == account  # the same one again
    assert len({*gateway.listener.asked[count:]}) == 1


async def test_dns_01_a_wildcard_is_issued_through_the_hook(pebble, running, monkeypatch):
    monkeypatch.setenv("PIPEOPS_CONTROL_DATABASE_URL", "postgresql://user:password@db/x")
    hook = pebble.hook()
    async with running(pebble, "*.apps.example.com", dns_hook=hook) as certificates:
        await issued(certificates, "x.apps.example.com")
        assert await shown(certificates, "x.apps.example.com", pebble.root()) == [
            "*.apps.example.com"
        ]
    calls = [line.split() for line in (hook.parent / "dns-hook.log").read_text().splitlines()]
    assert [call[:2] for call in calls[-2:]] == [
        ["add", "_acme-challenge.apps.example.com"],
        ["remove", "_acme-challenge.apps.example.com"],
    ]
    assert "password" not in (hook.parent / "dns-hook.env").read_text()


async def test_dns_01_may_be_used_for_every_host(pebble, gateway, running):
    count = len(gateway.listener.asked)
    more = {"dns_hook": pebble.hook(), "challenge": Challenge.DNS}
    async with running(pebble, "inner.example.com", **more) as certificates:
        await issued(certificates, "inner.example.com")
    assert len(gateway.listener.asked) == count


async def test_a_certificate_is_renewed_at_two_thirds_of_its_lifetime(pebble, running, clock):
    async with running(pebble, "renewed.example.com") as certificates:
        first = await issued(certificates, "renewed.example.com")
        clock.ahead = renewal_time(first) - time.time() - 3600
        certificates.orders.wake()
        await asyncio.sleep(1)
        assert certificates.book.find("renewed.example.com") is first
        assert certificates.order_status() == []
        clock.ahead += 3601
        certificates.orders.wake()
        second = await issued(certificates, "renewed.example.com", besides=first)
        clock.ahead = 0.0
        assert second.not_before >= first.not_before
        assert second.key != first.key


async def test_a_revoked_certificate_is_renewed_when_the_server_says_so(
    pebble, running, store, clock
):
    """Renewal information, RFC 9773."""
    async with running(pebble, "revoked.example.com") as certificates:
        first = await issued(certificates, "revoked.example.com")
        account = await store.account(pebble.directory_url)
        key = Sealer(KEY, PURPOSE).open(f"account at {pebble.directory_url}", account.sealed_key)
        await asyncio.to_thread(_revoke, pebble, account.uri, key, first)
        clock.ahead = 6 * 3600 + 60
        certificates.orders.wake()
        await issued(certificates, "revoked.example.com", besides=first)


def _revoke(pebble, uri, key, certificate):
    from pipeops.control.certificates.acme_session import AcmeSession  # noqa: PLC0415

    session = AcmeSession(pebble.directory_url, key, pebble.ca_file, time.time)
    session.use_account(uri)
    session._call(session._client.revoke, x509.load_pem_x509_certificate(certificate.chain), 1)
    session.close()


async def test_an_expired_certificate_is_replaced(pebble, running, store, tmp_path):
    pair = Authority(tmp_path / "ca").server("old", "old.example.com", days=-1)
    sealed = Sealer(KEY, PURPOSE).seal("acme old.example.com", Secret(pair.key.read_text()))
    await store.put(
        StoredCertificate(
            host="old.example.com", source="acme", chain=pair.certificate.read_bytes(),
            sealed_key=sealed, directory=pebble.directory_url,
        )
    )  # fmt: skip
    async with running(pebble, "old.example.com") as certificates:
        await certificates.ready.wait()
        old = certificates.book.find("old.example.com")
        assert old.not_after < time.time()  # it is what there is
        assert certificates.status()[0].problem == "it has expired"
        fresh = await issued(certificates, "old.example.com", besides=old)
        assert fresh.not_after > time.time()


async def test_a_refused_host_is_said_and_keeps_no_other_from_its_certificate(
    pebble, running, store
):
    async with running(pebble, BLOCKED, "good.example.com") as certificates:
        await issued(certificates, "good.example.com")
        await until(lambda: [one.state for one in certificates.order_status()] == ["failed"])
        status = certificates.order_status()[0]
        assert (status.host, status.failures) == (BLOCKED, 1)
        assert "rejectedIdentifier" in status.problem
        assert 60 < status.next_attempt_at - time.time() <= 300
    count = len((await store.failures()).values())
    async with running(pebble, BLOCKED) as certificates:  # a restart is no reason to ask again
        await certificates.ready.wait()
        await asyncio.sleep(1)
        assert [one.failures for one in certificates.order_status()] == [1]
    assert count == 1


async def test_a_host_that_does_not_lead_here_fails_with_the_servers_words(
    pebble, gateway, running
):
    pebble.dns("set-servfail", host="lost.example.com")
    async with running(pebble, "lost.example.com") as certificates:
        await until(lambda: [one.state for one in certificates.order_status()] == ["failed"])
        problem = certificates.order_status()[0].problem
        assert problem.startswith(
            "the ACME server does not believe that lost.example.com is ours: "
        )
        assert certificates.book.find("lost.example.com") is None
        pebble.dns("clear-servfail", host="lost.example.com")
        certificates.renew("lost.example.com")  # the operator repaired it and does not wait
        await issued(certificates, "lost.example.com")
        await until(lambda: certificates.order_status() == [])


async def test_a_server_that_is_away_blames_no_host_and_one_that_forgot_us_gets_a_new_account(
    pebble, running, store
):
    async with running(pebble, "early.example.com") as certificates:
        await issued(certificates, "early.example.com")
    before = await store.account(pebble.directory_url)
    pebble.stop()
    async with running(pebble, "early.example.com", "late.example.com") as certificates:
        await until(lambda: certificates.problems() != {})
        assert "cannot be reached" in certificates.problems()["acme"]
        assert "Connection refused" in certificates.problems()["acme"]
        assert await store.failures() == {}
        pebble.start()  # its memory is empty
        certificates.renew("late.example.com")
        await until(lambda: "accountDoesNotExist" in certificates.problems().get("acme", ""))
        certificates.renew("late.example.com")
        await issued(certificates, "late.example.com")
        assert certificates.problems() == {}
    after = await store.account(pebble.directory_url)
    assert after.sealed_key != before.sealed_key


async def test_without_agreement_to_its_terms_nothing_is_ordered(pebble, running):
    async with running(pebble, "terms.example.com", terms_accepted=False) as certificates:
        await until(lambda: certificates.problems() != {})
        assert "--acme-accept-terms" in certificates.problems()["acme"]


async def test_an_untrusted_acme_server_is_told_as_that(pebble, running, tmp_path):
    other = Authority(tmp_path / "ca").ca_file
    async with running(pebble, "x.example.com", ca_file=other) as certificates:
        await until(lambda: certificates.problems() != {})
        assert "certificate verify failed" in certificates.problems()["acme"]


async def test_an_account_is_bound_to_an_external_one(gateway, running, tmp_path):
    server = Pebble(tmp_path, gateway.listener.port, binding=True)
    try:
        async with running(server, "bound.example.com") as certificates:
            await until(lambda: certificates.problems() != {})
            assert "--acme-eab-key-id" in certificates.problems()["acme"]
        key_file = tmp_path / "eab.key"
        key_file.write_text(f"{EAB_KEY}\n")
        more = {"eab_key_id": EAB_KEY_ID, "eab_key_file": key_file, "contact": ("ops@example.com",)}
        async with running(server, "bound.example.com", **more) as certificates:
            await issued(certificates, "bound.example.com")
    finally:
        server.close()


async def test_stopping_gives_up_an_order_and_takes_its_dns_record_out(pebble, running, tmp_path):
    hook = pebble.hook()
    log = hook.parent / "dns-hook.log"
    async with running(pebble, "*.slow.example.com", dns_hook=hook, dns_wait=60.0) as certificates:
        await until(lambda: log.exists() and "add _acme-challenge.slow" in log.read_text())
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert "remove _acme-challenge.slow" in log.read_text()
    assert certificates.book.find("x.slow.example.com") is None
