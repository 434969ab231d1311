"""The ACME library as we use it, against answers that the test gives: no sockets."""

import json
from datetime import UTC, datetime

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from requests.adapters import HTTPAdapter

from pipeops.control.certificate_settings import Challenge
from pipeops.control.certificates.acme_errors import AcmeError
from pipeops.control.certificates.acme_session import NONCE_TRIES, AcmeSession, read_retry_after
from pipeops.runtime.secrets import Secret

CA = "https://ca.example"
DIRECTORY = {
    "newNonce": f"{CA}/nonce", "newAccount": f"{CA}/account", "newOrder": f"{CA}/order",
    "revokeCert": f"{CA}/revoke", "keyChange": f"{CA}/key", "meta": {"termsOfService": f"{CA}/terms"},
}  # fmt: skip
ERROR = "urn:ietf:params:acme:error:"


def refusal(code, detail="no", **headers):
    return 400, {"type": ERROR + code, "detail": detail}, headers


def authorization(status, *, error=None):
    tokens = {"http-01": "aGVsbG8taHR0cC0wMS10b2tlbg", "dns-01": "aGVsbG8tZG5zLTAxLXRva2Vu"}
    challenges = [
        {"type": kind, "url": f"{CA}/{kind}", "status": status, "token": token,
         **({"error": error} if error and kind == "http-01" else {})}
        for kind, token in tokens.items()
    ]  # fmt: skip
    challenges.append({"type": "from-the-future", "url": f"{CA}/x", "status": status})
    return 200, {
        "identifier": {"type": "dns", "value": "a.example.com"}, "status": status, "challenges": challenges,
    }, {}  # fmt: skip


class Server:
    """Answers by path: each list's first, the last one again and again."""

    def __init__(self):
        self.answers = {
            "/dir": [(200, DIRECTORY, {})],
            "/nonce": [(200, None, {})],
            "/account": [(201, {"status": "valid"}, {"Location": f"{CA}/account/7"})],
            "/order": [(201, {
                "status": "pending", "authorizations": [f"{CA}/authz"], "finalize": f"{CA}/finalize",
                "identifiers": [{"type": "dns", "value": "a.example.com"}],
            }, {"Location": f"{CA}/order/1"})],
            "/authz": [authorization("pending")],
        }  # fmt: skip
        self.requests = []

    def send(self, _adapter, request, **_):
        path = request.url.removeprefix(CA)
        self.requests.append((path, json.loads(request.body) if request.body else None))
        waiting = self.answers[path]
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(found, Exception):
            raise found
        status, body, headers = found
        response = requests.Response()
        response.status_code = status
        response.request = request
        response.url = request.url
        response._content = b"" if body is None else json.dumps(body).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        response.headers.update({"Content-Type": kind, "Replay-Nonce": "bm9uY2U", **headers})
        return response

    def count(self, path):
        return sum(seen == path for seen, _ in self.requests)


@pytest.fixture
def server(monkeypatch):
    made = Server()

    def send(*arguments, **more):
        return made.send(*arguments, **more)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return made


@pytest.fixture
def key():
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Secret(pem.decode())


@pytest.fixture
def open_session(server, key):
    opened = []

    def connect():
        opened.append(AcmeSession(f"{CA}/dir", key, None, lambda: 1_000_000_000.0))
        return opened[-1]

    yield connect
    for session in opened:
        session.close()


@pytest.fixture
def session(open_session):
    made = open_session()
    made.use_account(f"{CA}/account/7")
    return made


@pytest.fixture
def request_pem():
    from pipeops.control.certificates.issuer import _new_request  # noqa: PLC0415

    return _new_request("a.example.com")[1]


def test_an_account_is_made_or_found(server, open_session):
    session = open_session()
    assert session.terms == f"{CA}/terms"
    assert not session.needs_binding
    assert session.register(("ops@example.com",), None) == f"{CA}/account/7"
    server.answers["/account"] = [(200, {"status": "valid"}, {"Location": f"{CA}/account/3"})]
    assert session.register((), None) == f"{CA}/account/3"


def test_a_binding_key_that_is_none_is_said(open_session):
    with pytest.raises(AcmeError, match="not base64url"):
        open_session().register((), ("kid", Secret("\xff not base64")))


def test_an_order_tells_what_can_be_proved(session, request_pem):
    order = session.order(request_pem)
    (proofs,) = order.proofs
    assert [(one.host, one.challenge) for one in proofs] == [
        ("a.example.com", Challenge.HTTP), ("a.example.com", Challenge.DNS),
    ]  # fmt: skip
    assert proofs[0].name == "aGVsbG8taHR0cC0wMS10b2tlbg"
    assert proofs[0].value.startswith(f"{proofs[0].name}.")
    assert proofs[1].name == "_acme-challenge.a.example.com"


def test_what_is_valid_needs_no_proof(server, session, request_pem):
    server.answers["/authz"] = [authorization("valid")]
    assert session.order(request_pem).proofs == ()


def test_a_proof_is_believed_or_refused_with_the_servers_words(server, session, request_pem):
    proof = session.order(request_pem).proofs[0][0]
    server.answers["/authz"] = [authorization("pending"), authorization("valid")]
    assert not session.proved(proof)
    assert session.proved(proof)
    error = {"type": f"{ERROR}dns", "detail": "NXDOMAIN looking up\nA for a.example.com"}
    server.answers["/authz"] = [authorization("invalid", error=error)]
    with pytest.raises(
        AcmeError, match=r"that a\.example\.com is ours: NXDOMAIN looking up A for"
    ) as caught:
        session.proved(proof)
    assert (caught.value.code, caught.value.everywhere) == ("dns", False)


def test_an_authorization_that_went_without_a_word(server, session, request_pem):
    proof = session.order(request_pem).proofs[0][0]
    server.answers["/authz"] = [authorization("deactivated")]
    with pytest.raises(AcmeError, match="its authorization is deactivated"):
        session.proved(proof)


def test_a_refusal_keeps_its_code_and_its_delay(server, session, request_pem):
    server.answers["/order"] = [
        refusal("rateLimited", "too many for example.com", **{"Retry-After": "3600"})
    ]
    with pytest.raises(
        AcmeError, match=r"refused: too many for example\.com \(rateLimited\)"
    ) as caught:
        session.order(request_pem)
    assert (caught.value.code, caught.value.retry_after) == ("rateLimited", 3600.0)
    assert not caught.value.everywhere


@pytest.mark.parametrize("code", ["accountDoesNotExist", "externalAccountRequired"])
def test_a_refusal_of_the_account_concerns_every_host(server, session, request_pem, code):
    server.answers["/order"] = [refusal(code)]
    with pytest.raises(AcmeError) as caught:
        session.order(request_pem)
    assert (caught.value.code, caught.value.everywhere) == (code, True)


def test_subproblems_are_said(server, session, request_pem):
    body = {
        "type": f"{ERROR}compound", "detail": "some names",
        "subproblems": [{"type": f"{ERROR}caa", "detail": "CAA forbids b"}],
    }  # fmt: skip
    server.answers["/order"] = [(403, body, {})]
    with pytest.raises(AcmeError, match="some names; CAA forbids b"):
        session.order(request_pem)


def test_refused_nonces_are_tried_again_so_many_times(server, session, request_pem):
    good = server.answers["/order"][0]
    server.answers["/order"] = [refusal("badNonce")] * 5 + [good]
    assert session.order(request_pem).proofs
    server.answers["/order"] = [refusal("badNonce")]
    with pytest.raises(AcmeError, match="badNonce"):
        session.order(request_pem)
    assert server.count("/order") == 6 + 2 * NONCE_TRIES  # the library repeats each once


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (requests.Timeout("x"), "cannot be reached: no answer within 10 s"),
        (requests.ConnectionError(OSError(113, "No route to host")), "cannot be reached"),
        ((502, {"no": "problem"}, {}), "refused|did not answer as one"),
        ((200, None, {}), "did not answer as one"),
    ],
)
def test_a_server_that_is_away_concerns_every_host(server, open_session, failure, why):
    server.answers["/dir"] = [failure]
    with pytest.raises(AcmeError, match=why) as caught:
        open_session()
    assert caught.value.everywhere


def test_the_innermost_reason_is_said(server, open_session):
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as inner:
            raise requests.ConnectionError("<object at 0x7f> max retries") from inner
    except requests.ConnectionError as outer:
        server.answers["/dir"] = [outer]
    with pytest.raises(AcmeError, match="cannot be reached: Connection refused"):
        open_session()


def test_a_certificate_is_fetched_when_it_is_there(server, session, request_pem):
    order = session.order(request_pem)
    server.answers["/finalize"] = [refusal("orderNotReady")]
    session.ask(order)  # asked again by `finish`
    server.answers["/finalize"] = [refusal("badCSR", "weak key")]
    with pytest.raises(AcmeError, match="weak key"):
        session.ask(order)
    body = dict(server.answers["/order"][0][1])
    server.answers["/order/1"] = [(200, {**body, "status": "processing"}, {"Retry-After": "60"})]
    assert session.finish(order) is None
    valid = {**body, "status": "valid", "certificate": f"{CA}/cert"}
    server.answers["/order/1"] = [(200, valid, {})]
    server.answers["/cert"] = [(200, "chain", {})]
    assert session.finish(order) == b'"chain"'
    failed = {**body, "status": "invalid", "error": {"type": f"{ERROR}caa", "detail": "forbidden"}}
    server.answers["/order/1"] = [(200, failed, {})]
    with pytest.raises(AcmeError, match="forbidden"):
        session.finish(order)


def test_a_server_without_renewal_information_says_nothing(session, authority):
    chain = authority.server("ari", "a.example.com").certificate.read_bytes()
    assert session.renewal_time(chain) is None


def test_renewal_information_is_read(server, open_session, authority):
    server.answers["/dir"] = [(200, {**DIRECTORY, "renewalInfo": f"{CA}/ari"}, {})]
    session = open_session()
    chain = authority.server("ari2", "a.example.com").certificate.read_bytes()
    window = {"start": "2025-01-02T00:00:00Z", "end": "2025-01-02T00:00:00Z"}
    server.send_ari = (200, {"suggestedWindow": window}, {})
    original = server.send

    def answer(adapter, request, **more):
        if request.url.startswith(f"{CA}/ari/"):
            server.answers[request.url.removeprefix(CA)] = [server.send_ari]
        return original(adapter, request, **more)

    server.send = answer
    assert session.renewal_time(chain) == datetime(2025, 1, 2, tzinfo=UTC).timestamp()
    server.send_ari = (500, {"type": f"{ERROR}serverInternal"}, {})
    with pytest.raises(AcmeError):
        session.renewal_time(chain)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 7 * 86_400.0),
        ("-5", None),
        ("soon", None),
        ("Sun, 09 Sep 2001 01:47:40 GMT", 60.0),
        ("Sun, 09 Sep 2001 01:40:00 GMT", 0.0),
        ("Fri, 09 Sep 2101 01:47:40 GMT", 7 * 86_400.0),
    ],
)
def test_retry_after_in_seconds_and_dates(text, seconds):
    assert read_retry_after(text, 1_000_000_000.0) == seconds
