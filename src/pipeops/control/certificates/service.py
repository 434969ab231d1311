"""Certificates: the service that keeps the public gateway's certificates, from wherever they come."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

from pipeops.control.auth.cluster_credentials import Sealer
from pipeops.control.certificate_settings import CertificateSettings
from pipeops.control.certificates.book import CertificateBook
from pipeops.control.certificates.certificate import (
    Certificate,
    CertificateError,
    Source,
    host_name,
    read_certificate,
)
from pipeops.control.certificates.challenge_responses import ChallengeResponses
from pipeops.control.certificates.files import CertificateFiles
from pipeops.control.certificates.issuer import Issued, Issuer
from pipeops.control.certificates.orders import Orders, OrderStatus, Pace
from pipeops.control.certificates.renewal import renewal_time
from pipeops.control.store.certificates import CertificateStore, StoredCertificate
from pipeops.control.store.errors import Conflict, NotFound, StoreError
from pipeops.runtime.clock import Clock
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import OnError, TaskScope, raise_if_cancelled

log = get_logger(__name__)

PURPOSE: Final = b"pipeops gateway certificate"  # of the sealer
RETRY_INTERVAL: Final = 15.0  # seconds until a store that failed is asked again
CHECK_INTERVAL: Final = 3600.0
SOON: Final = 1 / 10  # of its lifetime: a certificate that ends so soon is warned about


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate as people see it: nothing of it is secret.

    Attributes:
        renews_at: seconds since 1970; None if it is not ours to renew.
        added_by: who uploaded it; empty for others.
        problem: why it is not as it should be; empty if it is.
    """

    certificate: Certificate
    renews_at: float | None
    added_by: str
    problem: str


class Certificates:
    """Files, uploads and ACME together fill one book.

    Args:
        settings: where certificates come from.
        store: keeps uploads, and what ACME issued.
        sealer: encrypts their keys; its purpose is `PURPOSE`.
        clock: wall and monotonic time.
        rng: jitter of renewals.
        wanted_hosts: those that routes want certificates for; asked again and again.

    Attributes:
        book: for the gateway's TLS listener.
        responses: for the gateway's plain-HTTP listener.
        ready: set when files and store were read for the first time: a listener may begin.
        orders: None without ACME.
    """

    def __init__(
        self,
        settings: CertificateSettings,
        store: CertificateStore,
        sealer: Sealer,
        *,
        clock: Clock,
        rng: Random,
        wanted_hosts: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._settings = settings
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._wanted_hosts = wanted_hosts
        self._kept: dict[tuple[str, str], tuple[StoredCertificate, Certificate]] = {}
        self._unsaved: dict[tuple[str, str], StoredCertificate] = {}
        self._problems: dict[tuple[str, str], str] = {}
        self._warned: set[str] = set()
        self.book = CertificateBook(wall=clock.wall, default=settings.default)
        self.responses = ChallengeResponses()
        self.files: CertificateFiles | None = None
        if settings.directory is not None:
            self.files = CertificateFiles(settings.directory, clock, self._files_changed)
        self.ready = asyncio.Event()
        self.orders: Orders | None = None
        if settings.acme is not None:
            issuer = Issuer(settings.acme, store, sealer, self.responses, wall=clock.wall)
            self.orders = Orders(
                issuer,
                store,
                wanted=self._wanted,
                certificates=self._counting,
                keep=self._issued,
                clock=clock,
                rng=rng,
                pace=Pace(at_a_time=settings.acme.orders),
            )

    # -- for operators ---------------------------------------------------------------------

    async def upload(
        self, host: str, chain: bytes, key: Secret[bytes], by: str
    ) -> CertificateStatus:
        """Put a certificate in force for a host, in place of an earlier upload.

        Raises:
            CertificateError: it cannot be used, or is not for this host.
            Conflict: there are too many.
            StoreUnavailable: from the store.
        """
        name = _host(host)
        certificate = await asyncio.to_thread(
            self._read, name, Source.UPLOAD, chain, key.reveal(), self._clock.wall()
        )
        await self._keep(certificate, name, by=by)
        log.info("certificate uploaded", by=by, host=name, fingerprint=certificate.fingerprint)
        return self._status(certificate)

    async def remove(self, host: str, by: str) -> Source:
        """Remove the upload of a host; without one what ACME issued. Returns which it was.

        Raises:
            NotFound: there is none of either.
            CertificateError: it is no host name.
            StoreUnavailable: from the store.
        """
        name = _host(host)
        for source in (Source.UPLOAD, Source.ACME):
            if (name, source.value) in self._kept or (name, source.value) in self._problems:
                await self._remove(name, source)
                log.info("certificate removed", by=by, host=name, source=source.value)
                return source
        raise NotFound(
            f"there is no certificate for {name} that could be removed",
            hint="those from files go with their files",
        )

    async def _remove(self, name: str, source: Source) -> None:
        if self._unsaved.pop((name, source.value), None) is None:
            await self._store.remove(name, source.value)
        self._kept.pop((name, source.value), None)
        self._problems.pop((name, source.value), None)
        self._publish()

    def renew(self, host: str) -> None:
        """Order at once for a wanted host, whatever certificate it has.

        Raises:
            Conflict: nothing is ordered here.
            NotFound: nobody wants a certificate for it.
            CertificateError: it is no host name.
        """
        name = _host(host)
        if self.orders is None:
            raise Conflict(
                "this control plane orders no certificates", hint="start it with --acme-directory"
            )
        if not self.orders.renew(name):
            raise NotFound(
                f"no route and no setting wants a certificate for {name}",
                hint="name it with --acme-host, or give its Ingress a TLS section",
            )

    def hosts_changed(self) -> None:
        """Routes may want certificates for other hosts now: look at once."""
        if self.orders is not None:
            self.orders.wake()

    def status(self) -> list[CertificateStatus]:
        """Every certificate in force, by label."""
        return [
            self._status(one)
            for one in sorted(self.book.certificates, key=lambda one: (one.label, one.source))
        ]

    def order_status(self) -> list[OrderStatus]:
        """Hosts that are ordered for, or should be."""
        return self.orders.status() if self.orders is not None else []

    def problems(self) -> dict[str, str]:
        """What is wrong, by what it concerns: a path, a stored certificate's host, or `acme`."""
        found = {f"{host} ({source})": why for (host, source), why in self._problems.items()}
        if self.files is not None:
            found |= self.files.problems
        if self.orders is not None and self.orders.problem:
            found["acme"] = self.orders.problem
        return found

    def _status(self, certificate: Certificate) -> CertificateStatus:
        stored, _ = self._kept.get((certificate.label, certificate.source.value), (None, None))
        ours = certificate.source is Source.ACME and stored is not None
        problem = ""
        if certificate.not_after <= self._clock.wall():
            problem = "it has expired"
        elif (certificate.label, certificate.source.value) in self._unsaved:
            problem = "it could not be stored yet"
        return CertificateStatus(
            certificate,
            renewal_time(certificate) if ours else None,
            stored.added_by if stored is not None else "",
            problem,
        )

    # -- service ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve files and store, order, renew and warn until cancelled."""
        async with TaskScope("certificates", on_error=OnError.CANCEL) as scope:
            if self.files is not None:
                await self.files.look()
                scope.spawn(self.files.run(), name="files")
            loaded = await self.load()
            self.ready.set()
            while not loaded:
                raise_if_cancelled()
                await asyncio.sleep(RETRY_INTERVAL)
                loaded = await self.load()
            if self.orders is not None:
                scope.spawn(self.orders.run(), name="orders")
            while True:
                self._warn()
                await self._save()
                raise_if_cancelled()
                await asyncio.sleep(RETRY_INTERVAL if self._unsaved else CHECK_INTERVAL)

    async def load(self) -> bool:
        """Put what is stored in force; False if the store cannot be read now."""
        try:
            stored = await self._store.list()
        except StoreError as error:
            log.warning("certificates cannot be read from the store", error=str(error))
            return False
        read = await asyncio.to_thread(lambda: [(one, self._open(one)) for one in stored])
        kept = {}
        for one, result in read:
            if isinstance(result, Certificate):
                kept[one.host, one.source] = (one, result)
            else:
                self._problems[one.host, one.source] = result
                log.error("stored certificate cannot be used", host=one.host, reason=result)
        self._kept = kept
        self._publish()
        return True

    def _open(self, stored: StoredCertificate) -> Certificate | str:
        """The certificate, or why it cannot be used."""
        key = self._sealer.open(_owner(stored.host, stored.source), stored.sealed_key)
        if key is None:
            return "its key cannot be opened with this key file; upload it again"
        try:
            return self._read(
                stored.host, Source(stored.source), stored.chain, key.reveal().encode(), None
            )
        except (CertificateError, ValueError) as error:
            return str(error)

    def _read(
        self, host: str, source: Source, chain: bytes, key: bytes, now: float | None
    ) -> Certificate:
        origin = f"certificate for {host}"
        found = read_certificate(chain, key, label=host, source=source, origin=origin, now=now)
        if not found.covers(host):
            shown = ", ".join(found.names[:5]) or "no host"
            raise CertificateError(f"{origin}: it is for {shown}")
        return found

    async def _keep(
        self, certificate: Certificate, host: str, *, by: str = "", directory: str = ""
    ) -> None:
        source = certificate.source.value
        key = Secret(certificate.key.reveal().decode())
        stored = StoredCertificate(
            host=host,
            source=source,
            chain=certificate.chain,
            sealed_key=self._sealer.seal(_owner(host, source), key),
            directory=directory,
            added_by=by,
            updated_at=self._clock.wall(),
        )
        try:
            await self._store.put(stored)
            self._unsaved.pop((host, source), None)
        except StoreError as error:
            if certificate.source is not Source.ACME:
                raise
            # It is served and stored later: the next order may be long in coming.
            self._unsaved[host, source] = stored
            log.error("issued certificate cannot be stored yet", host=host, error=str(error))  # noqa: TRY400 - the message is the whole story
        self._kept[host, source] = (stored, certificate)
        self._problems.pop((host, source), None)
        self._publish()

    async def _save(self) -> None:
        for key, stored in list(self._unsaved.items()):
            try:
                await self._store.put(stored)
            except StoreError:
                return
            self._unsaved.pop(key, None)
            log.info("issued certificate is stored now", host=stored.host)

    async def _issued(self, host: str, issued: Issued) -> None:
        certificate = await asyncio.to_thread(
            self._read,
            host,
            Source.ACME,
            issued.chain,
            issued.key.reveal(),
            self._clock.wall(),
        )
        assert self._settings.acme is not None  # noqa: S101 - who else should have issued it
        await self._keep(certificate, host, directory=self._settings.acme.directory)

    # -- the book --------------------------------------------------------------------------

    def _files_changed(self, certificates: tuple[Certificate, ...]) -> None:
        self.book.replace(Source.FILE, certificates)

    def _publish(self) -> None:
        for source in (Source.UPLOAD, Source.ACME):
            self.book.replace(
                source, [one for (_, kind), (_, one) in self._kept.items() if kind == source.value]
            )

    def _counting(self) -> tuple[Certificate, ...]:
        """For orders: what another ACME server issued (staging) is served until there is a better one, but does not count."""
        directory = self._settings.acme.directory if self._settings.acme is not None else ""
        return tuple(
            one
            for one in self.book.certificates
            if one.source is not Source.ACME
            or self._kept[one.label, one.source.value][0].directory == directory
        )

    def _wanted(self) -> Iterable[str]:
        if self._settings.acme is not None:
            yield from self._settings.acme.hosts
        yield from self._wanted_hosts()

    def _warn(self) -> None:
        """Say once of each certificate that it ends soon, and once that it ended."""
        now = self._clock.wall()
        live: set[str] = set()
        for one in self.book.certificates:
            left = one.not_after - now
            soon = SOON * (one.not_after - one.not_before)
            if left > soon:
                continue
            stage = "expired" if left <= 0 else "soon"
            key = f"{one.fingerprint} {stage}"
            live.add(key)
            if key not in self._warned:
                event = "certificate has expired" if left <= 0 else "certificate expires soon"
                log.warning(event, certificate=one.label, source=one.source.value, days=round(left / 86_400, 1))  # fmt: skip
        self._warned = live


def _host(text: str) -> str:
    name = host_name(text)
    if name is None:
        raise CertificateError("expected a host name such as app.example.com or *.example.com")
    return name


def _owner(host: str, source: str) -> str:
    return f"{source} {host}"
