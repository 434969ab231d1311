"""Certificates of the local control plane: an own CA, and a server certificate for the loopback names."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeops.cli.failures import CliError
from pipeops.runtime.private_file import write_private

CA_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)

NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Paths of what the control plane and its clients need."""

    ca: Path
    server: Path
    server_key: Path


def ensure_certificates(directory: Path, now: datetime) -> CertificateFiles:
    """Make, keep or renew the certificates in `directory`.

    Whatever is missing, unreadable or near its expiry is made anew; with a new CA comes a new server certificate.

    Raises:
        CliError: They cannot be written.
    """
    files = CertificateFiles(
        directory / "ca.crt", directory / "server.crt", directory / "server.key"
    )
    try:
        authority = _load(files.ca, directory / "ca.key", now)
        if authority is None:
            authority = _make_ca(now)
            _store(*authority, files.ca, directory / "ca.key")
        server = _load(files.server, files.server_key, now)
        if server is None or not _issued_by(server[0], authority[0]):
            _store(*_make_server(*authority, now), files.server, files.server_key)
    except OSError as error:
        raise CliError(
            f"the certificates in {directory} cannot be written: {error.strerror}",
            hint="check the disk's free space and the directory's owner",
        ) from error
    return files


Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _load(certificate: Path, key: Path, now: datetime) -> Pair | None:
    try:
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        return None
    if private.public_key() != loaded.public_key():
        return None
    if not loaded.not_valid_before_utc <= now < loaded.not_valid_after_utc - RENEW_BEFORE:
        return None
    return loaded, private


def _store(
    certificate: x509.Certificate,
    private: ec.EllipticCurvePrivateKey,
    path: Path,
    key_path: Path,
) -> None:
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_private(key_path, pem)
    write_private(path, certificate.public_bytes(serialization.Encoding.PEM))


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError):
        return False
    except Exception as error:  # a bad signature has an exception class of its own in each backend
        if type(error).__name__ == "InvalidSignature":
            return False
        raise
    return True


def _make_ca(now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"PipeOps local CA {now:%Y-%m-%d %H:%M:%S}")
    builder = (
        _builder(name, name, key.public_key(), now, CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_identifier(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _make_server(
    authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, now: datetime
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # A server certificate must not outlive its CA.
    lifetime = min(SERVER_LIFETIME, authority.not_valid_after_utc - now)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    builder = (
        _builder(_name("PipeOps control plane"), authority.subject, key.public_key(), now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_identifier(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
    )
    return builder.sign(authority_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # Clocks of containers on this machine may be behind.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _identifier(public: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(public)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
