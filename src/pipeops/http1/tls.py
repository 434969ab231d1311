"""SSL contexts, the one place for versions, trust and certificates.

```text
cluster_context         the cluster's own CA only; strictness relaxed, since many of these are old
control_plane_context   system roots plus `ca_file`; strict; optional client certificate
server_context          what our own listeners show
listener_context        the same for a certificate that is at hand, or is chosen by name
```
"""

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeops.errors import PipeOpsError
from pipeops.http1.x509 import certificate_count, first_validity
from pipeops.runtime.clock import Clock
from pipeops.runtime.secrets import Secret

_MAX_FILE: Final = 4 * 1024 * 1024
_ALPN: Final = ["http/1.1"]

_REASONS: Final = {
    "KEY_VALUES_MISMATCH": "the private key does not belong to the certificate",
    "NO_START_LINE": "it holds no PEM block of the expected kind",
    "NO_CERTIFICATE_OR_CRL_FOUND": "it holds no PEM certificate",
    "BAD_BASE64_DECODE": "its PEM block is damaged",
    "BAD_END_LINE": "its PEM block is cut off",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short to be safe",
    "CA_MD_TOO_WEAK": "the certificate is signed with a broken hash",
}


class TlsConfigError(PipeOpsError):
    """A certificate, key or CA that cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its key, both PEM; `origin` is what errors call it."""

    chain: bytes
    key: Secret[bytes]
    origin: str = "client certificate"


def cluster_context(
    *,
    ca: bytes | None,
    insecure_skip_verify: bool = False,
    certificate: ClientCertificate | None = None,
    origin: str = "cluster CA",
) -> ssl.SSLContext:
    """Return a client context that trusts `ca` (PEM) and nothing else.

    Without a CA the system's roots are trusted. `origin` is what errors call the CA.

    Raises:
        TlsConfigError: CA or certificate are unusable.
    """
    context = _client_context(insecure_skip_verify=insecure_skip_verify)
    # CAs that kubeadm and k3s made years ago lack keyUsage or key identifiers.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not insecure_skip_verify:
        if ca is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            _trust(context, ca, origin)
    if certificate is not None:
        _show(context, certificate)
    return context


def control_plane_context(
    *,
    ca_file: str | None = None,
    cert_file: str | None = None,
    key_file: str | None = None,
    insecure_skip_verify: bool = False,
) -> ssl.SSLContext:
    """Return the client context for every connection to the control plane.

    Raises:
        TlsConfigError: a file is missing, unreadable or not what it should be, or only one of
            `cert_file` and `key_file` is given.
    """
    if bool(cert_file) != bool(key_file):
        missing = "key" if cert_file else "certificate"
        raise TlsConfigError(
            f"a client certificate needs both files; the {missing} file is not set"
        )
    context = _client_context(insecure_skip_verify=insecure_skip_verify)
    if not insecure_skip_verify:
        # Python's own default from 3.13 on; the same on all versions.
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if ca_file:
            _trust(context, read_pem(ca_file, "CA file"), f"CA file {ca_file}")
    if cert_file and key_file:
        _show(context, certificate_from_files(cert_file, key_file))
    return context


def keep_bytes_before_eof(transport: object) -> None:
    """Make a TLS transport stop reading the socket while its protocol has paused it.

    asyncio and uvloop read ahead into a paused TLS connection, and when the peer closes meanwhile they throw away
    what the protocol has not read yet: the end of an answer. Without read-ahead the close is noticed after it.
    """
    limit = getattr(transport, "set_read_buffer_limits", None)
    if limit is not None:
        limit(high=1, low=0)


def server_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    """Return the context of a listener.

    Raises:
        TlsConfigError: as for `control_plane_context`.
    """
    return listener_context(certificate_from_files(cert_file, key_file), _ALPN)


def listener_context(certificate: ClientCertificate | None, alpn: Sequence[str]) -> ssl.SSLContext:
    """Return the context of a listener that shows `certificate`; without one a `sni_callback` has to choose.

    Raises:
        TlsConfigError: OpenSSL refuses the certificate or its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(list(alpn))
    # kubectl and agents never resume a session, and tickets take 8 KiB for each idle agent.
    context.num_tickets = 0
    if certificate is not None:
        _show(context, certificate)
    return context


def certificate_from_files(cert_file: str, key_file: str) -> ClientCertificate:
    """Read a certificate chain and its key. Raises `TlsConfigError`."""
    chain = read_pem(cert_file, "certificate file")
    key = Secret(read_pem(key_file, "key file"))
    return ClientCertificate(chain, key, f"certificate {cert_file} with key {key_file}")


def read_pem(path: str, what: str) -> bytes:
    """Read a PEM file of bounded size; `what` names its role in errors.

    Raises:
        TlsConfigError: it cannot be read, is too large, or is no PEM.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise TlsConfigError(f"{what} {path}: {error.strerror or error}") from error
    if len(data) > _MAX_FILE:
        raise TlsConfigError(f"{what} {path}: larger than {_MAX_FILE} bytes, that is no PEM file")
    if b"-----BEGIN " not in data:
        raise TlsConfigError(f"{what} {path}: it is not PEM (no '-----BEGIN' line)")
    return data


def check_not_expired(certificate: ClientCertificate, clock: Clock) -> None:
    """Raise `TlsConfigError` if the certificate is not valid now; unreadable dates pass."""
    validity = first_validity(certificate.chain)
    if validity is None:
        return
    now = clock.now()
    if now > validity.not_after:
        raise TlsConfigError(
            f"{certificate.origin}: it expired on {validity.not_after:%Y-%m-%d %H:%M} UTC"
        )
    if now < validity.not_before:
        raise TlsConfigError(
            f"{certificate.origin}: it is not valid before {validity.not_before:%Y-%m-%d %H:%M} UTC;"
            f" this machine's clock says {now:%Y-%m-%d %H:%M}"
        )


def describe_ssl_error(error: ssl.SSLError) -> str:
    """Return what a failed handshake or a bad file means, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", None) or str(error)
        return f"its certificate is not trusted: {why}"
    # Errors that a TLS library other than Python's makes lack the attributes.
    reason = getattr(error, "reason", None) or str(error)
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}:
        return "it does not speak TLS on this port"
    return _REASONS.get(reason, reason.replace("_", " ").lower())


def _client_context(*, insecure_skip_verify: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_ALPN)
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust(context: ssl.SSLContext, pem: bytes, origin: str) -> None:
    if certificate_count(pem) == 0:
        raise TlsConfigError(f"{origin}: it holds no PEM certificate")
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsConfigError(f"{origin}: {_reason(error)}") from error


def _show(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    key = certificate.key.reveal()
    # Told apart here, because OpenSSL answers all three with "PEM lib".
    if certificate_count(certificate.chain) == 0:
        raise TlsConfigError(f"{certificate.origin}: the certificate part is no PEM certificate")
    if b"PRIVATE KEY-----" not in key:
        raise TlsConfigError(f"{certificate.origin}: the key part is no PEM private key")
    if b"ENCRYPTED" in key:
        raise TlsConfigError(
            f"{certificate.origin}: the private key is encrypted; give one without a passphrase"
        )
    try:
        with _as_file(certificate.chain + b"\n" + key) as path:
            # Without a password function OpenSSL would ask on the terminal.
            context.load_cert_chain(path, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise TlsConfigError(f"{certificate.origin}: {_reason(error)}") from error


def _reason(error: ssl.SSLError | ValueError) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(error)
    # OpenSSL's error queue may have been empty.
    known = getattr(error, "reason", None)
    return describe_ssl_error(error) if known else "it is not a usable PEM file"


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give OpenSSL, which reads only files, a path to bytes that never touch a disk."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
