"""CertificateBook: which certificate a TLS client sees for the name it asks for."""

import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeops.control.certificates.certificate import (
    Certificate,
    Source,
    by_name,
    candidates,
    host_name,
)
from pipeops.http1.tls import TlsConfigError, listener_context
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

MAX_CERTIFICATES: Final = 10_000  # of one source; each takes about 8 KiB
MAX_CONTEXTS: Final = 1000  # prepared ones; each takes up to 100 KiB, and making one a millisecond
ALPN: Final = ("h2", "http/1.1")


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """All certificates at one moment; replaced as a whole, so a handshake sees the old ones or the new ones."""

    sources: Mapping[Source, tuple[Certificate, ...]] = field(default_factory=dict)
    names: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    default: tuple[Certificate, ...] = ()


class CertificateBook:
    """Answers for a name: its own certificate, else a wildcard of its parent, else the configured default, else none.

    Without one the handshake ends with the alert `unrecognized_name`: nobody ever sees another host's certificate,
    except the one that the operator calls the default. A certificate that has expired is shown only while there is
    no other: browsers then say what is wrong.

    Args:
        wall: Seconds since 1970.
        default: label or host name of the certificate for clients that ask for no name or an unknown one.
        max_certificates: of one source; what is over it is not served, and said.
        max_contexts: prepared TLS contexts that are kept for use; the least recently used go first.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float],
        default: str = "",
        max_certificates: int = MAX_CERTIFICATES,
        max_contexts: int = MAX_CONTEXTS,
    ) -> None:
        self._wall = wall
        self._default = default
        self.max_certificates = max_certificates
        self._max_contexts = max_contexts
        self._snapshot = _Snapshot()
        # By chain: the same leaf may come with other intermediates, and reading it again changes nothing.
        self._contexts: OrderedDict[tuple[bytes, tuple[str, ...]], ssl.SSLContext] = OrderedDict()

    def replace(self, source: Source, certificates: Iterable[Certificate]) -> None:
        """From the next handshake on these are the certificates of a source; live connections are not touched."""
        kept = tuple(certificates)
        if len(kept) > self.max_certificates:
            log.error("too many certificates; the rest is not served", source=source.value, certificates=len(kept), served=self.max_certificates)  # fmt: skip
            kept = kept[: self.max_certificates]
        sources = {**self._snapshot.sources, source: kept}
        every = [one for several in sources.values() for one in several]
        names = by_name(every)
        host = host_name(self._default) if self._default else None
        default = tuple(one for one in every if one.label == self._default)
        if not default and host is not None:
            default = _lookup(names, host)
        self._snapshot = _Snapshot(sources, names, default)
        live = {one.chain for one in every}
        for key in [key for key in self._contexts if key[0] not in live]:
            del self._contexts[key]

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All that are in force, by source."""
        snapshot = self._snapshot
        return tuple(one for source in Source for one in snapshot.sources.get(source, ()))

    @property
    def prepared(self) -> int:
        """How many TLS contexts are kept."""
        return len(self._contexts)

    def find(self, server_name: str | None) -> Certificate | None:
        """The certificate that a client sees which asks for this name (SNI); None: it is turned away."""
        snapshot = self._snapshot
        host = host_name(server_name) if server_name else None
        found = _lookup(snapshot.names, host) if host is not None else ()
        return self._best(found or snapshot.default)

    def _best(self, found: Sequence[Certificate]) -> Certificate | None:
        now = self._wall()
        return next((one for one in found if one.not_after > now), found[0] if found else None)

    def server_context(self, alpn: tuple[str, ...] = ALPN) -> ssl.SSLContext:
        """A context for a TLS listener: TLS 1.2 or newer, these protocols, the certificate by name.

        It stays the same for ever, whatever becomes of the certificates.
        """
        outer = listener_context(None, alpn)

        def choose(
            connection: ssl.SSLSocket | ssl.SSLObject,
            server_name: str | None,
            _outer: ssl.SSLContext,
        ) -> int | None:
            certificate = self.find(server_name)
            if certificate is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            try:
                connection.context = self._context(certificate, alpn)
            except (
                TlsConfigError,
                OSError,
            ) as error:  # it was accepted before: no descriptors left
                log.error("certificate cannot be shown", certificate=certificate.label, error=str(error))  # fmt: skip  # noqa: TRY400 - the message is the whole story
                return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
            return None

        outer.sni_callback = choose
        return outer

    def _context(self, certificate: Certificate, alpn: tuple[str, ...]) -> ssl.SSLContext:
        key = (certificate.chain, alpn)
        context = self._contexts.get(key)
        if context is not None:
            self._contexts.move_to_end(key)
            return context
        context = self._contexts[key] = listener_context(certificate.shown(), alpn)
        while len(self._contexts) > self._max_contexts:
            self._contexts.popitem(last=False)
        return context


def _lookup(names: Mapping[str, tuple[Certificate, ...]], host: str) -> tuple[Certificate, ...]:
    """Those that cover a host, the best first; a wildcard's stand behind, for when the host's own has expired."""
    exact, wildcard = candidates(host)
    return names.get(exact, ()) + names.get(wildcard, ())
