"""What we show the API server: tokens and certificates that change while we run.

A source is synchronous for the hot path: `authorization()` returns ready header bytes, and
`generation` tells caches of them (or of SSL contexts) when to look again. Somebody calls
`refresh()` when `needs_refresh()` says so, and `invalidate()` first when the server answered 401.
"""

import base64
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from pipeops.http1.tls import (
    ClientCertificate,
    TlsConfigError,
    certificate_from_files,
    check_not_expired,
    read_pem,
)
from pipeops.kube.errors import CredentialError
from pipeops.runtime.clock import Clock
from pipeops.runtime.secrets import Secret

#: How long a file's content is trusted; kubelet rotates tokens well before they expire.
FILE_CACHE_SECONDS: Final = 60.0
_MAX_TOKEN: Final = 64 * 1024


class CredentialSource(Protocol):
    """Where the credential for one cluster comes from."""

    @property
    def generation(self) -> int:
        """Grows whenever the credential has changed."""

    def authorization(self) -> bytes | None:
        """Value of the `Authorization` header, `None` to send none."""

    def certificate(self) -> ClientCertificate | None:
        """Certificate for new TLS connections, `None` to show none."""

    def needs_refresh(self, now: float) -> bool:
        """Whether `refresh` is due at `now` (`Clock.monotonic`)."""

    def invalidate(self) -> None:
        """Note that the server refused the credential: the next `needs_refresh` is true."""

    async def refresh(self) -> None:
        """Fetch the credential anew.

        Raises:
            CredentialError: there is none; the old one, if any, stays in place.
        """


class StaticCredentials:
    """Credentials that never change: a token, basic auth, a certificate, or nothing."""

    def __init__(
        self, authorization: bytes | None = None, certificate: ClientCertificate | None = None
    ) -> None:
        self._authorization = authorization
        self._certificate = certificate

    @property
    def generation(self) -> int:
        """Always 0."""
        return 0

    def authorization(self) -> bytes | None:
        """See `CredentialSource`."""
        return self._authorization

    def certificate(self) -> ClientCertificate | None:
        """See `CredentialSource`."""
        return self._certificate

    def needs_refresh(self, now: float) -> bool:
        """Never."""
        return False

    def invalidate(self) -> None:
        """There is nothing newer to fetch."""

    async def refresh(self) -> None:
        """There is nothing newer to fetch."""


class FileCredentials:
    """A token file and/or a certificate with its key in files, read again as they are rotated.

    The generation grows with the cluster's CA in `ca_file` too: whoever makes TLS contexts must make new ones.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        token_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        ca_file: str | None = None,
        authorization: bytes | None = None,
        certificate: ClientCertificate | None = None,
    ) -> None:
        """Read the files once. `authorization` and `certificate` are what comes from no file.

        Raises:
            CredentialError: a file is missing, empty or unusable.
        """
        self._clock = clock
        self._token_file = token_file
        self._cert_files = (cert_file, key_file) if cert_file and key_file else None
        self._ca_file = ca_file
        self._ca: bytes | None = None
        self._authorization = authorization
        self._certificate = certificate
        self._generation = 0
        self._read_at = 0.0
        self._refused = False
        self._read()

    @property
    def generation(self) -> int:
        """See `CredentialSource`."""
        return self._generation

    def authorization(self) -> bytes | None:
        """See `CredentialSource`."""
        return self._authorization

    def certificate(self) -> ClientCertificate | None:
        """See `CredentialSource`."""
        return self._certificate

    def needs_refresh(self, now: float) -> bool:
        """After `FILE_CACHE_SECONDS`, or once after a refusal."""
        return self._refused or now - self._read_at >= FILE_CACHE_SECONDS

    def invalidate(self) -> None:
        """See `CredentialSource`."""
        self._refused = True

    async def refresh(self) -> None:
        """See `CredentialSource`; the files are small and local, so reading them does not wait."""
        self._read()

    def _read(self) -> None:
        self._refused = False
        self._read_at = self._clock.monotonic()
        authorization, certificate = self._authorization, self._certificate
        if self._token_file:
            authorization = bearer(read_token(self._token_file))
        if self._cert_files:
            try:
                certificate = certificate_from_files(*self._cert_files)
                check_not_expired(certificate, self._clock)
            except TlsConfigError as error:
                raise CredentialError(str(error)) from error
        ca = self._ca
        if self._ca_file:
            with suppress(TlsConfigError):  # the old one still works, and may for long
                ca = read_pem(self._ca_file, "cluster CA")
        if (authorization, certificate, ca) != (self._authorization, self._certificate, self._ca):
            self._authorization, self._certificate, self._ca = authorization, certificate, ca
            self._generation += 1


def bearer(token: Secret[str]) -> bytes:
    """Return the header value for a bearer token.

    Raises:
        CredentialError: the token has characters that no header may carry.
    """
    text = token.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CredentialError("the token contains spaces or characters that no header may carry")
    return b"Bearer " + text.encode("ascii")


def basic(username: str, password: Secret[str]) -> bytes:
    """Return the header value for basic authentication (RFC 7617, UTF-8)."""
    return b"Basic " + base64.b64encode(f"{username}:{password.reveal()}".encode())


def read_token(path: str) -> Secret[str]:
    """Read a token file, without the white space around the token.

    Raises:
        CredentialError: missing, empty, too large or not text.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_TOKEN + 1)
        token = data.decode("utf-8").strip()
    except OSError as error:
        raise CredentialError(f"token file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CredentialError(f"token file {path}: it is not text") from error
    if not token:
        raise CredentialError(f"token file {path}: it is empty")
    if len(data) > _MAX_TOKEN:
        raise CredentialError(f"token file {path}: larger than {_MAX_TOKEN} bytes")
    return Secret(token)
