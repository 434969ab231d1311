"""Certificate: a chain with its key, checked, and the host names it may be shown for."""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeops.errors import PipeOpsError
from pipeops.http1.tls import ClientCertificate, TlsConfigError, listener_context
from pipeops.runtime.secrets import Secret

MAX_PEM: Final = (
    256 * 1024
)  # bytes of a chain or a key; a chain of four RSA-4096 certificates has 9 KiB
MAX_NAMES: Final = 1000  # of one certificate; public CAs stop at 100
# RFC 1123 §2.1 labels; underscores are no host names, but certificates for them exist.
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}")
_CHAIN: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----\r?\n?", re.DOTALL
)


class CertificateError(PipeOpsError):
    """A certificate or key that cannot be used; the message names it and says why."""


class Source(enum.StrEnum):
    """Where a certificate came from; of two for one name the earlier source wins."""

    UPLOAD = "upload"
    FILE = "file"
    ACME = "acme"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that OpenSSL accepts together with its key.

    Attributes:
        label: what people call it: the host it was uploaded or issued for, or its file's name.
        names: DNS names in lower case, A-labels; `*.parent` for a wildcard.
        not_before, not_after: seconds since 1970.
        issuer: common name of who signed it, or the whole name.
        fingerprint: SHA-256 of the leaf, hexadecimal.
        chain: PEM, leaf first.
        key: PEM, without a passphrase.
        origin: what log lines call it.
    """

    label: str
    source: Source
    names: tuple[str, ...]
    not_before: float
    not_after: float
    issuer: str
    fingerprint: str
    chain: bytes = field(repr=False)
    key: Secret[bytes] = field(repr=False)
    origin: str = ""

    def shown(self) -> ClientCertificate:
        """What a listener's context takes."""
        return ClientCertificate(self.chain, self.key, self.origin)

    def covers(self, host: str) -> bool:
        """Whether it may be shown for a host; RFC 6125 §6.4.3: a wildcard stands for one whole label."""
        _, _, parent = host.partition(".")
        return host in self.names or f"*.{parent}" in self.names


def read_certificate(
    chain: bytes, key: bytes, *, label: str, source: Source, origin: str, now: float | None
) -> Certificate:
    """Check a certificate and its key, both PEM, and read what they are for. Takes about a millisecond.

    Args:
        chain: leaf first, then its issuers.
        key: an unencrypted private key.
        label: see `Certificate`.
        source: see `Certificate`.
        origin: what the error calls it.
        now: seconds since 1970; None: whether it is valid now does not matter.

    Raises:
        CertificateError: it is no PEM, too large, expired, not valid yet, or the key belongs to another.
    """
    if len(chain) > MAX_PEM or len(key) > MAX_PEM:
        raise CertificateError(f"{origin}: larger than {MAX_PEM} bytes, that is no certificate")
    leaf = _leaf(chain, origin)
    _check_key(leaf, key, origin)
    not_before, not_after = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now is not None and now >= not_after.timestamp():
        raise CertificateError(f"{origin}: it expired on {not_after:%Y-%m-%d %H:%M} UTC")
    if now is not None and now < not_before.timestamp():
        raise CertificateError(f"{origin}: it is not valid before {not_before:%Y-%m-%d %H:%M} UTC")
    certificate = Certificate(
        label=label,
        source=source,
        names=_names(leaf),
        not_before=not_before.timestamp(),
        not_after=not_after.timestamp(),
        issuer=_issuer(leaf),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        # Text around the blocks (openssl x509 -text) is nobody's business.
        chain=b"".join(one.rstrip() + b"\n" for one in _CHAIN.findall(chain + b"\n")),
        key=Secret(key),
        origin=origin,
    )
    try:
        listener_context(
            certificate.shown(), ()
        )  # whatever else OpenSSL refuses: weak keys, digests
    except TlsConfigError as error:
        raise CertificateError(str(error)) from error
    return certificate


def host_name(text: str) -> str | None:
    """A host as certificates write it: lower case, A-labels, no final dot; None if it is no host name."""
    host = text.strip().lower().removesuffix(".")
    if not host.isascii():
        try:
            star, host = ("*.", host[2:]) if host.startswith("*.") else ("", host)
            host = star + host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    if len(host) > 253 or not _HOST.fullmatch(host) or host.rpartition(".")[2].isdigit():
        return None
    return host


def candidates(host: str) -> tuple[str, str]:
    """The names under which a certificate for `host` is filed, the better one first."""
    return host, f"*.{host.partition('.')[2]}"


def by_name(certificates: Iterable[Certificate]) -> Mapping[str, tuple[Certificate, ...]]:
    """File certificates under their names: uploads before files before ACME's, newer before older."""
    order = list(Source)
    found: dict[str, list[Certificate]] = {}
    for certificate in sorted(
        certificates, key=lambda one: (order.index(one.source), -one.not_before)
    ):
        for name in certificate.names:
            found.setdefault(name, []).append(certificate)
    return {name: tuple(several) for name, several in found.items()}


def _leaf(chain: bytes, origin: str) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise CertificateError(f"{origin}: the certificate part is no PEM certificate") from error
    return found[0]


def _check_key(leaf: x509.Certificate, key: bytes, origin: str) -> None:
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError as error:
        raise CertificateError(
            f"{origin}: the private key is encrypted; give one without a passphrase"
        ) from error
    # The library's own words could show parts of what it was given.
    except Exception as error:
        raise CertificateError(f"{origin}: the key part is no usable PEM private key") from error
    wanted, given = (
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public in (leaf.public_key(), private.public_key())
    )
    if wanted != given:
        raise CertificateError(f"{origin}: the private key does not belong to the certificate")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    found = (host_name(name) for name in extension.value.get_values_for_type(x509.DNSName))
    return tuple(dict.fromkeys(name for name in found if name))[:MAX_NAMES]


def _issuer(leaf: x509.Certificate) -> str:
    common = leaf.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    text = str(common[0].value) if common else leaf.issuer.rfc4514_string()
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
