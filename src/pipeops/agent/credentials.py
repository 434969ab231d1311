"""DialCredentials: what the agent shows the control plane, read anew for each dial since files are rotated."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from pipeops.http1.tls import (
    ClientCertificate,
    TlsConfigError,
    certificate_from_files,
    check_not_expired,
    control_plane_context,
    read_pem,
)
from pipeops.kube.credentials import read_token
from pipeops.kube.errors import CredentialError
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files, empty for none, as in `pipeops.tls`."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    insecure_skip_verify: bool = False


class DialCredentials:
    """Token and TLS context of the next dial.

    A file that cannot be used any more leaves what was read before in place, with one warning: a rotation may
    be under way, and the control plane says the rest.

    Args:
        token: The token as it was at the start.
        token_file: Where it came from; empty when it came from no file.
        tls: None for a control plane in cleartext.

    Raises:
        TlsConfigError: a file of `tls` cannot be used, or the certificate is not valid now.
    """

    def __init__(
        self,
        token: Secret[str],
        token_file: str = "",
        *,
        tls: TlsFiles | None,
        clock: Clock,
    ) -> None:
        self._token = token
        self._token_file = token_file
        self._tls = tls
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._made_of: tuple[bytes, ClientCertificate | None] | None = None
        self._warned: set[str] = set()
        self._make_context()

    def token(self) -> str:
        """The cluster's token."""
        if self._token_file:
            self._attempt(self._read_token)
        return self._token.reveal()

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context, None for cleartext."""
        self._attempt(self._make_context)
        return self._context

    def _attempt(self, read: Callable[[], None]) -> None:
        try:
            read()
        except (TlsConfigError, CredentialError) as error:
            if str(error) not in self._warned and len(self._warned) < 32:
                self._warned.add(str(error))
                log.warning("keeping the credential that was read before", error=str(error))

    def _read_token(self) -> None:
        self._token = read_token(self._token_file)

    def _make_context(self) -> None:
        tls = self._tls
        if tls is None:
            return
        ca = read_pem(tls.ca, "CA file") if tls.ca else b""
        certificate = None
        if tls.certificate and tls.key:
            certificate = certificate_from_files(tls.certificate, tls.key)
            check_not_expired(certificate, self._clock)
        if self._made_of == (ca, certificate):
            return
        self._context = control_plane_context(
            ca_file=tls.ca or None,
            cert_file=tls.certificate or None,
            key_file=tls.key or None,
            insecure_skip_verify=tls.insecure_skip_verify,
        )
        self._made_of = (ca, certificate)
