import datetime as dt
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeops.http1 import tls
from pipeops.runtime.secrets import Secret
from tests.support.certificates import Authority
from tests.support.clock import FakeClock


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.server("server", "localhost", "127.0.0.1")


def clock_at(moment: dt.datetime) -> FakeClock:
    return FakeClock(wall=moment.timestamp())


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Both ends in memory; returns the client's side or raises its error."""
    ends = []
    for context, side, name in ((client, False, host), (server, True, None)):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends.append((context.wrap_bio(incoming, outgoing, side, name), incoming, outgoing))
    (one, one_in, one_out), (two, two_in, two_out) = ends
    done = set()
    for _ in range(10):
        for end in (one, two):
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
        two_in.write(one_out.read())
        one_in.write(two_out.read())
    assert done == {one, two}
    return one


def test_cluster_context_trusts_its_ca_and_nothing_else(authority, pair, tmp_path):
    server = tls.server_context(str(pair.certificate), str(pair.key))
    client = tls.cluster_context(ca=authority.ca_file.read_bytes())
    assert not client.verify_flags & ssl.VERIFY_X509_STRICT
    assert handshake(client, server, "localhost").version() == "TLSv1.3"
    other = tls.cluster_context(ca=Authority(tmp_path / "other").ca_file.read_bytes())
    assert len(other.get_ca_certs()) == 1
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(other, server, "localhost")
    assert "not trusted" in tls.describe_ssl_error(caught.value)


def test_host_name_is_checked(authority, pair):
    server = tls.server_context(str(pair.certificate), str(pair.key))
    client = tls.cluster_context(ca=authority.ca_file.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(client, server, "elsewhere")


def test_insecure_must_be_said(authority, pair):
    server = tls.server_context(str(pair.certificate), str(pair.key))
    assert handshake(tls.cluster_context(ca=None, insecure_skip_verify=True), server, "any")
    assert handshake(tls.control_plane_context(insecure_skip_verify=True), server, "any")


def test_control_plane_context_is_strict_and_adds_the_ca(authority, pair):
    server = tls.server_context(str(pair.certificate), str(pair.key))
    client = tls.control_plane_context(ca_file=str(authority.ca_file))
    assert client.verify_flags & ssl.VERIFY_X509_STRICT
    assert client.minimum_version == ssl.TLSVersion.TLSv1_2
    assert handshake(client, server, "localhost").selected_alpn_protocol() == "http/1.1"


def test_client_certificate_is_shown(authority, pair):
    server = tls.server_context(str(pair.certificate), str(pair.key))
    server.load_verify_locations(authority.ca_file)
    server.verify_mode = ssl.CERT_REQUIRED
    mine = authority.client("alice", "alice")
    certificate = tls.certificate_from_files(str(mine.certificate), str(mine.key))
    ca = authority.ca_file.read_bytes()
    assert handshake(tls.cluster_context(ca=ca, certificate=certificate), server, "localhost")


def test_half_a_client_certificate_is_an_error(pair):
    with pytest.raises(tls.TlsConfigError, match="key file is not set"):
        tls.control_plane_context(cert_file=str(pair.certificate))
    with pytest.raises(tls.TlsConfigError, match="certificate file is not set"):
        tls.control_plane_context(key_file=str(pair.key))


def test_errors_name_the_file_and_the_reason(pair, tmp_path, authority):
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("hello")
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n")
    key, certificate = str(pair.key), str(pair.certificate)
    other = str(authority.client("other", "o").key)
    for call, words in [
        (lambda: tls.control_plane_context(ca_file="/no/such"), ["/no/such", "No such file"]),
        (lambda: tls.control_plane_context(ca_file=str(rubbish)), ["rubbish.pem", "not PEM"]),
        (lambda: tls.control_plane_context(ca_file=key), [key, "no PEM certificate"]),
        (lambda: tls.control_plane_context(ca_file=str(damaged)), ["damaged.pem"]),
        (lambda: tls.server_context(certificate, "/no/key"), ["key file /no/key"]),
        (lambda: tls.server_context(certificate, other), [other, "does not belong"]),
        (lambda: tls.server_context(key, key), [key, "no PEM"]),
        (lambda: tls.server_context(certificate, certificate), [certificate]),
        (lambda: tls.server_context(str(tmp_path), key), ["Is a directory"]),
    ]:
        with pytest.raises(tls.TlsConfigError) as caught:
            call()
        assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_encrypted_key_is_an_error_not_a_question(pair, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "encrypted.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(tls.TlsConfigError, match=r"encrypted\.key: the private key is encrypted"):
        tls.server_context(str(pair.certificate), str(path))


def test_expiry_is_told_with_its_date(authority):
    pair = authority.client("old", "old")
    certificate = tls.certificate_from_files(str(pair.certificate), str(pair.key))
    now = dt.datetime.now(dt.UTC)
    tls.check_not_expired(certificate, clock_at(now))
    with pytest.raises(tls.TlsConfigError, match="expired on"):
        tls.check_not_expired(certificate, clock_at(now + dt.timedelta(days=3)))
    with pytest.raises(tls.TlsConfigError, match="not valid before"):
        tls.check_not_expired(certificate, clock_at(now - dt.timedelta(days=3)))
    unreadable = tls.ClientCertificate(b"?", Secret(b"?"))
    tls.check_not_expired(unreadable, clock_at(now))


def test_a_server_without_tls_is_told_apart():
    error = ssl.SSLError(1, "x")
    error.reason = "WRONG_VERSION_NUMBER"
    assert "does not speak TLS" in tls.describe_ssl_error(error)
    assert "broken" in tls.describe_ssl_error(ssl.SSLError(1, "broken"))
    assert "not trusted: odd" in tls.describe_ssl_error(ssl.SSLCertVerificationError(1, "odd"))


def test_certificates_do_not_print_their_key(pair):
    certificate = tls.certificate_from_files(str(pair.certificate), str(pair.key))
    assert "PRIVATE" not in repr(certificate)


def test_a_paused_tls_connection_does_not_read_ahead_of_its_protocol() -> None:
    """asyncio and uvloop drop what they read ahead when the peer closes: the end of an answer."""
    asked: list[dict[str, int]] = []

    class Transport:
        def set_read_buffer_limits(self, **limits: int) -> None:
            asked.append(limits)

    tls.keep_bytes_before_eof(Transport())
    tls.keep_bytes_before_eof(object())  # a plain connection reads nothing ahead
    assert asked == [{"high": 1, "low": 0}]
