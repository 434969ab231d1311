"""One order, against a pretend server."""

import random

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from pipeops.control.auth.cluster_credentials import Sealer
from pipeops.control.certificate_settings import AcmeSettings, Challenge
from pipeops.control.certificates.acme_errors import AcmeError
from pipeops.control.certificates.challenge_responses import ChallengeResponses
from pipeops.control.certificates.issuer import FINISH_TIMEOUT, PROOF_TIMEOUT, Issuer
from pipeops.control.store.certificates import AcmeAccount

DIRECTORY = "https://ca.example/dir"


class Proof:
    def __init__(self, host, challenge, name, value):
        self.host, self.challenge, self.name, self.value = host, challenge, name, value


class Order:
    def __init__(self, *proofs):
        self.proofs = proofs


HTTP = Proof("a.example.com", Challenge.HTTP, "token", "token.thumbprint")
DNS = Proof("a.example.com", Challenge.DNS, "_acme-challenge.a.example.com", "digest")


class Session:
    """A server that believes at the second look and signs at the second question."""

    terms = ""
    needs_binding = False

    def __init__(self, test):
        self.test = test
        self.calls = []
        self.given = Order((HTTP, DNS))
        self.patience = 1
        self.failure = None
        self.request = None
        self.closed = False

    def register(self, contact, binding):
        self.calls.append(("register", contact, binding and (binding[0], binding[1].reveal())))
        return "https://ca.example/account/7"

    def use_account(self, uri):
        self.calls.append(("account", uri))

    def order(self, request):
        self.request = x509.load_pem_x509_csr(request)
        if self.failure is not None:
            raise self.failure
        return self.given

    def answer(self, proof):
        self.test.seen.append(self.test.responses.answer("a.example.com", "token"))
        self.calls.append(("answer", proof.challenge))

    def proved(self, _proof):
        self.patience -= 1
        return self.patience < 0

    def ask(self, _order):
        self.calls.append(("ask",))
        self.patience = self.test.signing

    def finish(self, _order):
        self.patience -= 1
        return b"chain" if self.patience < 0 else None

    def renewal_time(self, chain):
        return 123.0 if chain == b"chain" else None

    def close(self):
        self.closed = True


class Accounts:
    def __init__(self):
        self.kept = None

    async def account(self, _directory):
        return self.kept

    async def put_account(self, account):
        self.kept = account

    async def remove_account(self, _directory):
        self.kept = None


class Hook:
    def __init__(self, events):
        self.events = events

    def showing(self, name, value):
        events = self.events

        class Shown:
            async def __aenter__(self):
                events.append(("add", name, value))

            async def __aexit__(self, *_):
                events.append(("remove", name, value))

        return Shown()


class Bench:
    """An issuer and all that it works with."""

    def __init__(self, clock, tmp_path):
        self.clock, self.tmp_path = clock, tmp_path
        self.responses = ChallengeResponses()
        self.accounts = Accounts()
        self.sealer = Sealer(random.Random(1).randbytes(32), b"test")
        self.session = Session(self)
        self.keys = []
        self.seen = []
        self.slept = []
        self.events = []
        self.signing = 1

    def issuer(self, *, hook=False, **settings):
        def open_session(key):
            self.keys.append(key)
            return self.session

        async def sleep(seconds):
            self.slept.append(seconds)
            self.clock.advance(seconds or 1.5)

        return Issuer(
            AcmeSettings(directory=DIRECTORY, **settings),
            self.accounts,
            self.sealer,
            self.responses,
            wall=self.clock.wall,
            hook=Hook(self.events) if hook else None,
            sleep=sleep,
            open_session=open_session,
        )


@pytest.fixture
def bench(clock, tmp_path):
    return Bench(clock, tmp_path)


def names(request):
    extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.DNSName)


async def test_an_order_over_http(bench):
    issued = await bench.issuer().issue("a.example.com")
    assert issued.chain == b"chain"
    assert issued.key.reveal().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert names(bench.session.request) == ["a.example.com"]
    assert bench.seen == [b"token.thumbprint"]  # it was there when the server was told to look
    assert bench.responses.answer("a.example.com", "token") is None
    assert bench.slept == [2.0, 0]
    assert bench.session.closed
    assert "PRIVATE" not in repr(issued)


async def test_an_order_over_dns_waits_for_the_record_to_spread(bench):
    bench.session.given = Order((HTTP, DNS))
    await bench.issuer(hook=True, challenge=Challenge.DNS, dns_wait=30.0).issue("a.example.com")
    assert bench.events == [("add", DNS.name, "digest"), ("remove", DNS.name, "digest")]
    assert bench.slept[0] == 30.0
    assert ("answer", Challenge.DNS) in bench.session.calls


async def test_a_wildcard_takes_dns_whatever_is_set(bench):
    await bench.issuer(hook=True).issue("*.example.com")
    assert ("answer", Challenge.DNS) in bench.session.calls
    assert names(bench.session.request) == ["*.example.com"]


async def test_what_is_proved_already_is_not_proved_again(bench):
    bench.session.given = Order()
    assert (await bench.issuer().issue("a.example.com")).chain == b"chain"
    assert [call[0] for call in bench.session.calls] == ["register", "account", "ask"]


@pytest.mark.parametrize(
    ("host", "settings", "proofs", "why"),
    [
        ("*.example.com", {}, (DNS,), "a wildcard needs a DNS hook"),
        ("a.example.com", {"challenge": Challenge.DNS}, (DNS,), "needs a DNS hook"),
        ("a.example.com", {}, (DNS,), "offers no http-01 for a.example.com, but dns-01"),
        ("a.example.com", {}, (), "but none that we know"),
    ],
)
async def test_a_host_that_cannot_be_proved(bench, host, settings, proofs, why):
    bench.session.given = Order(proofs)
    with pytest.raises(AcmeError, match=why):
        await bench.issuer(**settings).issue(host)
    assert bench.session.closed


async def test_neither_a_proof_nor_a_signature_is_waited_for_for_ever(bench):
    bench.session.patience = 10_000
    with pytest.raises(AcmeError, match=f"within {PROOF_TIMEOUT:.0f} s"):
        await bench.issuer().issue("a.example.com")
    assert bench.responses.answer("a.example.com", "token") is None
    bench.session.patience, bench.signing = 0, 10_000
    with pytest.raises(AcmeError, match=f"did not sign within {FINISH_TIMEOUT:.0f} s"):
        await bench.issuer().issue("a.example.com")


async def test_the_account_is_made_once_and_kept_sealed(bench):
    issuer = bench.issuer(contact=("ops@example.com",))
    await issuer.issue("a.example.com")
    kept = bench.accounts.kept
    assert (kept.directory, kept.uri) == (DIRECTORY, "https://ca.example/account/7")
    assert b"PRIVATE" not in kept.sealed_key
    bench.session.patience = 0
    await bench.issuer().issue("a.example.com")
    assert [call[0] for call in bench.session.calls].count("register") == 1
    assert bench.session.calls[0] == ("register", ("ops@example.com",), None)
    assert bench.keys[0] == bench.keys[1]


async def test_an_account_whose_key_is_lost_is_replaced(bench):
    bench.accounts.kept = AcmeAccount(DIRECTORY, "https://ca.example/account/1", b"\x01garbage")
    with capture_logs() as records:
        await bench.issuer().issue("a.example.com")
    assert bench.accounts.kept.uri == "https://ca.example/account/7"
    assert "cannot be opened" in records[0]["event"]


async def test_an_account_that_the_server_forgot_is_forgotten_here(bench):
    bench.session.failure = AcmeError("no such account", code="accountDoesNotExist")
    with pytest.raises(AcmeError):
        await bench.issuer().issue("a.example.com")
    assert bench.accounts.kept is None


async def test_the_terms_are_the_operators_to_agree_to(bench):
    bench.session.terms = "https://ca.example/terms"
    with pytest.raises(
        AcmeError, match=r"https://ca\.example/terms.*--acme-accept-terms"
    ) as caught:
        await bench.issuer().issue("a.example.com")
    assert caught.value.everywhere
    assert bench.accounts.kept is None
    assert bench.session.closed
    await bench.issuer(terms_accepted=True).issue("a.example.com")


async def test_an_external_account_comes_from_its_file(bench, tmp_path):
    bench.session.needs_binding = True
    with pytest.raises(AcmeError, match="--acme-eab-key-id"):
        await bench.issuer().issue("a.example.com")
    key_file = tmp_path / "eab"
    with pytest.raises(AcmeError, match="No such file"):
        await bench.issuer(eab_key_id="kid", eab_key_file=key_file).issue("a.example.com")
    key_file.write_bytes(b"\xff\xfe")
    with pytest.raises(AcmeError, match="not base64url"):
        await bench.issuer(eab_key_id="kid", eab_key_file=key_file).issue("a.example.com")
    key_file.write_text("c2VjcmV0\n")
    await bench.issuer(eab_key_id="kid", eab_key_file=key_file).issue("a.example.com")
    assert ("register", (), ("kid", "c2VjcmV0")) in bench.session.calls


async def test_the_server_is_asked_when_to_renew(bench):
    assert await bench.issuer().renewal_time(b"chain") == 123.0
    assert await bench.issuer().renewal_time(b"other") is None
    assert bench.session.closed
