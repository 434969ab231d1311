"""Certificates of the local control plane."""

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from pipeops.cli.failures import CliError
from pipeops.cli.up.certificates import ensure_certificates

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_keys_are_private_and_the_pair_works(tmp_path):
    files = ensure_certificates(tmp_path, NOW)
    for key in tmp_path.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    load(files.server).verify_directly_issued_by(load(files.ca))


def test_the_certificate_is_for_this_machine_only(tmp_path):
    names = load(ensure_certificates(tmp_path, NOW).server).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.value.get_values_for_type(x509.IPAddress)] == [
        "127.0.0.1",
        "::1",
    ]


def test_the_ca_passes_strict_verification(tmp_path):
    # VERIFY_X509_STRICT, the default from Python 3.13, wants these.
    files = ensure_certificates(tmp_path, NOW)
    for kind in (x509.KeyUsage, x509.SubjectKeyIdentifier, x509.BasicConstraints):
        assert load(files.ca).extensions.get_extension_for_class(kind)
    assert load(files.server).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_a_second_run_keeps_them(tmp_path):
    before = {
        path: path.read_bytes() for path in ensure_certificates(tmp_path, NOW).ca.parent.iterdir()
    }
    ensure_certificates(tmp_path, NOW + timedelta(days=300))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_server_certificate_is_renewed_by_the_same_ca(tmp_path):
    files = ensure_certificates(tmp_path, NOW)
    ca, server = files.ca.read_bytes(), files.server.read_bytes()
    ensure_certificates(tmp_path, NOW + timedelta(days=336))
    assert files.ca.read_bytes() == ca
    assert files.server.read_bytes() != server


def test_an_old_ca_takes_its_certificates_along(tmp_path):
    files = ensure_certificates(tmp_path, NOW)
    later = NOW + timedelta(days=3640)
    ensure_certificates(tmp_path, later)
    load(files.server).verify_directly_issued_by(load(files.ca))
    assert load(files.ca).not_valid_after_utc > later + timedelta(days=3000)


def test_the_last_certificate_of_a_ca_does_not_outlive_it(tmp_path):
    files = ensure_certificates(tmp_path, NOW)
    files.server.unlink()
    ensure_certificates(tmp_path, NOW + timedelta(days=3500))
    assert load(files.server).not_valid_after_utc <= load(files.ca).not_valid_after_utc


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "server.crt", "server.key"])
@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_damaged_files_are_made_anew(tmp_path, name, content):
    files = ensure_certificates(tmp_path, NOW)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    ensure_certificates(tmp_path, NOW)
    load(files.server).verify_directly_issued_by(load(files.ca))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.server, files.server_key)


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(CliError, match="cannot be written"):
        ensure_certificates(tmp_path / "absent", NOW)
