"""Which certificate a client sees."""

import ssl
from dataclasses import replace

import pytest
from cryptography import x509

from pipeops.control.certificates import book as module
from pipeops.control.certificates.book import CertificateBook
from pipeops.control.certificates.certificate import Source
from pipeops.http1.tls import TlsConfigError


@pytest.fixture
def book(clock):
    return CertificateBook(wall=clock.wall)


@pytest.fixture
def client(authority):
    def make(*alpn):
        context = ssl.create_default_context(cafile=authority.ca_file)
        context.set_alpn_protocols(list(alpn) or ["http/1.1"])
        return context

    return make


def names_seen(connection):
    leaf = x509.load_der_x509_certificate(connection.getpeercert(True))
    return set(
        leaf.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value.get_values_for_type(x509.DNSName)
    )


def test_the_hosts_own_goes_before_the_wildcard(book, issue):
    own, wildcard = issue("a.example.com"), issue("*.example.com")
    book.replace(Source.UPLOAD, [wildcard, own])
    assert book.find("a.example.com") is own
    assert book.find("A.EXAMPLE.com.") is own
    assert book.find("b.example.com") is wildcard
    assert book.find("x.b.example.com") is None
    assert book.find("example.com") is None
    assert book.find("*.example.com") is wildcard
    assert book.find(None) is None
    assert book.find("..") is None


def test_the_default_is_for_clients_without_or_with_an_unknown_name(clock, issue):
    book = CertificateBook(wall=clock.wall, default="fallback")
    own, other = issue("a.example.com"), issue(label="fallback", source=Source.FILE)
    book.replace(Source.UPLOAD, [own])
    assert book.find(None) is None
    book.replace(Source.FILE, [other])
    assert book.find(None) is other
    assert book.find("unknown.example.com") is other
    assert book.find("a.example.com") is own


def test_the_default_may_be_named_by_a_host(clock, issue):
    book = CertificateBook(wall=clock.wall, default="www.example.com")
    wildcard = issue("*.example.com", label="wild", source=Source.FILE)
    book.replace(Source.FILE, [wildcard])
    assert book.find(None) is wildcard


def test_an_expired_one_is_shown_only_while_there_is_no_other(book, clock, issue):
    old = issue("a.example.com")
    book.replace(Source.UPLOAD, [old])
    clock.advance(2 * 86_400)
    assert book.find("a.example.com") is old
    fresh = replace(
        issue("*.example.com", source=Source.ACME, now=old.not_before), not_after=clock.wall() + 60
    )
    book.replace(Source.ACME, [fresh])
    assert book.find("a.example.com") is fresh


def test_clients_see_what_they_ask_for(book, client, issue, handshake):
    book.replace(Source.UPLOAD, [issue("a.example.com"), issue("b.example.com")])
    server = book.server_context()
    for name in ("a.example.com", "b.example.com"):
        ours, _ = handshake(client(), server, name)
        assert names_seen(ours) == {name}


@pytest.mark.parametrize(
    ("offered", "chosen"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), (("x",), None)]
)
def test_protocols_are_negotiated(book, client, issue, handshake, offered, chosen):
    book.replace(Source.UPLOAD, [issue("a.example.com")])
    ours, theirs = handshake(client(*offered), book.server_context(), "a.example.com")
    assert (ours.selected_alpn_protocol(), theirs.selected_alpn_protocol()) == (chosen, chosen)


def test_a_listener_without_http2_never_negotiates_it(book, client, issue, handshake):
    book.replace(Source.UPLOAD, [issue("a.example.com")])
    both = book.server_context()
    handshake(client("h2"), both, "a.example.com")  # its context must not be used for the other
    ours, _ = handshake(
        client("h2", "http/1.1"), book.server_context(("http/1.1",)), "a.example.com"
    )
    assert ours.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("name", ["unknown.example.com", None, "x.a.example.com"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nobody_sees_anothers_certificate(book, client, issue, handshake, name, version):
    book.replace(Source.UPLOAD, [issue("a.example.com")])
    context = client()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(context, book.server_context(), name)


def test_old_tls_is_refused(book, client, issue, handshake):
    book.replace(Source.UPLOAD, [issue("a.example.com")])
    context = client()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(context, book.server_context(), "a.example.com")


def test_a_change_counts_from_the_next_handshake_on(book, client, issue, handshake):
    server = book.server_context()
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(client(), server, "a.example.com")
    first, second = issue("a.example.com"), issue("a.example.com", "b.example.com")
    book.replace(Source.FILE, [first])
    assert names_seen(handshake(client(), server, "a.example.com")[0]) == {"a.example.com"}
    book.replace(Source.FILE, [second])
    assert len(names_seen(handshake(client(), server, "a.example.com")[0])) == 2
    book.replace(Source.FILE, [])
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(client(), server, "a.example.com")


def test_contexts_are_made_once_kept_over_reloads_and_bounded(
    clock, client, issue, handshake, monkeypatch
):
    made = []
    real = module.listener_context

    def counting(certificate, alpn):
        made.append(certificate)
        return real(certificate, alpn)

    monkeypatch.setattr(module, "listener_context", counting)
    book = CertificateBook(wall=clock.wall, max_contexts=2)
    several = [issue(f"{name}.example.com") for name in "abc"]
    book.replace(Source.UPLOAD, several)
    server = book.server_context()
    made.clear()
    for name in "aab":
        handshake(client(), server, f"{name}.example.com")
    assert len(made) == 2
    book.replace(Source.UPLOAD, [replace(one) for one in several])  # read again, the same
    handshake(client(), server, "a.example.com")
    assert len(made) == 2
    handshake(client(), server, "c.example.com")  # b was used least recently
    assert book.prepared == 2
    handshake(client(), server, "a.example.com")
    assert len(made) == 3
    book.replace(Source.UPLOAD, [])
    assert book.prepared == 0


def test_a_certificate_that_cannot_be_prepared_fails_its_own_handshake_only(
    book, client, issue, handshake, monkeypatch
):
    book.replace(Source.UPLOAD, [issue("a.example.com")])
    server = book.server_context()

    def refuse(_certificate, _alpn):
        raise TlsConfigError("no descriptors")

    with monkeypatch.context() as patched:
        patched.setattr(module, "listener_context", refuse)
        with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
            handshake(client(), server, "a.example.com")
    handshake(client(), server, "a.example.com")


def test_a_source_is_bounded(clock, issue):
    book = CertificateBook(wall=clock.wall, max_certificates=1)
    book.replace(Source.FILE, [issue("a.example.com"), issue("b.example.com")])
    book.replace(Source.ACME, [issue("c.example.com")])
    assert [one.label for one in book.certificates] == ["a.example.com", "c.example.com"]
    assert book.find("b.example.com") is None
