import base64
import datetime as dt

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pipeops.http1.x509 import certificate_count, first_validity, issuer_name, validity_of


def certificate(not_before: dt.datetime, not_after: dt.datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = cx509.Name([cx509.NameAttribute(cx509.NameOID.COMMON_NAME, "x" * 60)])
    return (
        cx509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(cx509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


@pytest.mark.parametrize("years", [(1985, 1999), (2020, 2049), (2020, 2150)])
def test_reads_both_time_formats(years):
    first, last = (dt.datetime(year, 2, 3, 4, 5, 6, tzinfo=dt.UTC) for year in years)
    pem = certificate(first, last)
    assert first_validity(b"text before\n" + pem + pem) == (first, last)
    assert certificate_count(pem + pem) == 2


@given(st.binary(max_size=80))
def test_rubbish_is_none_never_an_error(data):
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(data) + b"\n-----END CERTIFICATE-----"
    assert first_validity(pem) is None
    assert first_validity(data) is None


def test_the_issuer_is_named():
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    der = base64.b64decode(b"".join(certificate(now, now).splitlines()[1:-1]))
    assert issuer_name(der) == "x" * 60
    assert validity_of(der) == (now, now)


@given(st.binary(max_size=200))
def test_rubbish_has_no_issuer(data):
    assert isinstance(issuer_name(data), str)
