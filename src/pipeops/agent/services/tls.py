"""ServiceTls: TLS to Services, verified where the operator gave a CA, else encrypted only (decision record 0010)."""

import ssl
from typing import Final

from pipeops.http1.tls import cluster_context, read_pem

_ORIGIN: Final = "services.ca_file"


class ServiceTls:
    """Makes one context of each kind, when it is first needed."""

    def __init__(self, ca_file: str = "") -> None:
        """Read the CA.

        Raises:
            TlsConfigError: it cannot be used; agents do not start with a CA that would not be believed.
        """
        self._ca = read_pem(ca_file, _ORIGIN) if ca_file else None
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        if self._ca is not None:
            self.context(verify=True)

    @property
    def verifies(self) -> bool:
        """Whether certificates can be verified."""
        return self._ca is not None

    def context(self, *, verify: bool, http2: bool = False) -> ssl.SSLContext:
        """The context for a connection; without a CA nothing is verified."""
        verify = verify and self.verifies
        context = self._contexts.get((verify, http2))
        if context is None:
            context = cluster_context(ca=self._ca, insecure_skip_verify=not verify, origin=_ORIGIN)
            context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
            self._contexts[verify, http2] = context
        return context
