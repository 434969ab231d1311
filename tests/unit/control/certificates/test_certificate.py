"""What is read from certificates, and which are refused."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from pipeops.control.certificates import certificate
from pipeops.control.certificates.certificate import (
    MAX_PEM,
    CertificateError,
    Source,
    by_name,
    candidates,
    host_name,
    read_certificate,
)
from pipeops.http1.tls import TlsConfigError


def read(chain, key, now):
    return read_certificate(
        chain, key, label="x", source=Source.FILE, origin="certificate x", now=now
    )


def test_names_dates_and_issuer_are_read(issue, clock):
    found = issue("App.Example.com", "*.apps.example.com", "127.0.0.1")
    assert found.names == ("app.example.com", "*.apps.example.com")
    assert found.not_before < clock.wall() < found.not_after
    assert found.issuer == "pipeops-test-ca"
    assert len(found.fingerprint) == 64


def test_a_wildcard_covers_one_label(issue):
    found = issue("*.example.com")
    assert found.covers("a.example.com")
    assert not found.covers("a.b.example.com")
    assert not found.covers("example.com")


def test_neither_key_nor_chain_is_printed(issue):
    found = issue("a.example.com")
    assert "PRIVATE" not in repr(found)
    assert "BEGIN" not in repr(found)


def test_text_around_the_blocks_is_dropped(authority, clock):
    pair = authority.server("noisy", "noisy.example.com")
    chain = (
        b"Certificate:\n  Data: x\n"
        + pair.certificate.read_bytes()
        + authority.ca_file.read_bytes()
    )
    found = read(chain, pair.key.read_bytes(), clock.wall())
    assert found.chain.startswith(b"-----BEGIN CERTIFICATE-----")
    assert found.chain.count(b"BEGIN CERTIFICATE") == 2


def test_what_is_refused(authority, clock):
    now = clock.wall()
    good, other = (
        authority.server("good", "a.example.com"),
        authority.server("other", "b.example.com"),
    )
    chain, key = good.certificate.read_bytes(), good.key.read_bytes()
    sealed = load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for bad_chain, bad_key, moment, why in (
        (chain, other.key.read_bytes(), now, "does not belong to the certificate"),
        (b"nothing", key, now, "no PEM certificate"),
        (key, key, now, "no PEM certificate"),
        (chain, chain, now, "no usable PEM private key"),
        (chain, sealed, now, "encrypted"),
        (chain, b"", now, "no usable PEM private key"),
        (chain, key, now + 3 * 86_400, "it expired on 20"),
        (chain, key, now - 3 * 86_400, "not valid before 20"),
        (b"x" * (MAX_PEM + 1), key, now, "larger than"),
    ):
        with pytest.raises(CertificateError, match=why) as caught:
            read(bad_chain, bad_key, moment)
        assert str(caught.value).startswith("certificate x: ")


def test_what_openssl_refuses_is_refused_when_it_is_read(authority, clock, monkeypatch):
    pair = authority.server("weak", "weak.example.com")

    def refuse(_shown, _alpn):
        raise TlsConfigError("certificate x: the certificate's key is too short to be safe")

    monkeypatch.setattr(certificate, "listener_context", refuse)
    with pytest.raises(CertificateError, match="too short"):
        read(pair.certificate.read_bytes(), pair.key.read_bytes(), clock.wall())


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("App.Example.COM.", "app.example.com"),
        ("*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("_acme-challenge.example.com", "_acme-challenge.example.com"),
        ("localhost", "localhost"),
        ("127.0.0.1", None),
        ("::1", None),
        ("a*.example.com", None),
        ("a..example.com", None),
        ("", None),
        ("*", None),
        ("../etc", None),
        ("a\0.example.com", None),
        ("x" * 64 + ".example.com", None),
        (".".join(["abc"] * 70), None),
    ],
)
def test_host_names_have_one_spelling(text, host):
    assert host_name(text) == host


def test_uploads_go_before_files_before_acme_and_newer_before_older(issue):
    upload, file, acme = (
        issue("a.example.com"),
        issue("a.example.com", source=Source.FILE),
        issue("a.example.com", "b.example.com", source=Source.ACME),
    )
    older = replace(upload, not_before=upload.not_before - 60)
    found = by_name([acme, file, older, upload])
    assert found == {"a.example.com": (upload, older, file, acme), "b.example.com": (acme,)}
    assert candidates("x.b.example.com") == ("x.b.example.com", "*.b.example.com")
