"""Issuer: orders one certificate, from the account to the chain."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeops.control.auth.cluster_credentials import Sealer
from pipeops.control.certificate_settings import AcmeSettings, Challenge
from pipeops.control.certificates.acme_errors import AcmeError
from pipeops.control.certificates.challenge_responses import ChallengeResponses
from pipeops.control.certificates.dns_hook import DnsHook
from pipeops.control.store.certificates import AcmeAccount
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)

PROOF_TIMEOUT: Final = 120.0  # seconds until the server has looked at a challenge
FINISH_TIMEOUT: Final = 120.0  # seconds until it has signed
POLL_INTERVAL: Final = 2.0
MAX_EAB_KEY: Final = 4096


@dataclass(frozen=True, slots=True)
class Issued:
    """A chain and its new key, both PEM."""

    chain: bytes
    key: Secret[bytes] = field(repr=False)


class Proof(Protocol):
    """See `acme_session.Proof`."""

    @property
    def host(self) -> str:
        """Whose."""

    @property
    def challenge(self) -> Challenge:
        """How."""

    @property
    def name(self) -> str:
        """Where the server looks."""

    @property
    def value(self) -> str:
        """What it wants to see."""


class Order(Protocol):
    """See `acme_session.Order`."""

    @property
    def proofs(self) -> tuple[tuple[Any, ...], ...]:
        """What is to be proved, and the ways to do it."""


class Session(Protocol):
    """`AcmeSession`, blocking."""

    @property
    def terms(self) -> str:
        """URL of the terms of service."""

    @property
    def needs_binding(self) -> bool:
        """Accounts are bound to others."""

    def register(self, contact: tuple[str, ...], binding: tuple[str, Secret[str]] | None) -> str:
        """Make an account."""

    def use_account(self, uri: str) -> None:
        """Speak for it."""

    def order(self, request: bytes) -> Any:
        """Begin."""

    def answer(self, proof: Any) -> None:
        """The server may look."""

    def proved(self, proof: Any) -> bool:
        """It has looked."""

    def ask(self, order: Any) -> None:
        """Ask for the certificate."""

    def finish(self, order: Any) -> bytes | None:
        """Fetch it."""

    def renewal_time(self, chain: bytes) -> float | None:
        """When the server wants it renewed."""

    def close(self) -> None:
        """Close."""


class Accounts(Protocol):
    """The store's part."""

    async def account(self, directory: str) -> AcmeAccount | None:
        """Return the account."""

    async def put_account(self, account: AcmeAccount) -> None:
        """Keep the account."""

    async def remove_account(self, directory: str) -> None:
        """Forget it."""


OpenSession = Callable[[Secret[str]], Session]
"""Connects with an account key; blocking."""


class Issuer:
    """Orders certificates for single hosts; several orders may run at a time, of different hosts.

    Args:
        settings: which server, and how hosts are proved to it.
        accounts: where the account is kept.
        sealer: encrypts its key.
        responses: for HTTP-01.
        hook: for DNS-01.
        wall: seconds since 1970.
        sleep: waits.
        open_session: for tests.
    """

    def __init__(
        self,
        settings: AcmeSettings,
        accounts: Accounts,
        sealer: Sealer,
        responses: ChallengeResponses,
        *,
        wall: Callable[[], float],
        hook: DnsHook | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        open_session: OpenSession | None = None,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._sealer = sealer
        self._responses = responses
        self._hook = hook
        if hook is None and settings.dns_hook is not None:
            self._hook = DnsHook(settings.dns_hook, os.environ)
        self._wall = wall
        self._sleep = sleep
        self._open = open_session or self._connect
        self._registering = asyncio.Semaphore()  # two orders must not make two accounts

    def _connect(self, key: Secret[str]) -> Session:
        # Half a second of imports that only those need who order certificates.
        module = import_module("pipeops.control.certificates.acme_session")
        session: Session = module.AcmeSession(
            self._settings.directory, key, self._settings.ca_file, self._wall
        )
        return session

    async def issue(self, host: str) -> Issued:
        """Order a certificate for a host, or for `*.parent`, with a key of its own. Takes seconds to minutes.

        Raises:
            AcmeError: it was not issued.
            StoreError: the account cannot be read or kept.
        """
        session = await self._session()
        try:
            return await self._issue(session, host)
        except AcmeError as error:
            if error.code == "accountDoesNotExist":
                log.warning(
                    "the ACME server does not know our account any more; the next order makes another"
                )
                await self._accounts.remove_account(self._settings.directory)
            raise
        finally:
            session.close()

    async def renewal_time(self, chain: bytes) -> float | None:
        """When the server would like a certificate of its own to be renewed, seconds since 1970; None: it does not say.

        A certificate that it has revoked, or will, should be renewed at once (RFC 9773).

        Raises:
            AcmeError: the server cannot be asked.
            StoreError: the account cannot be read.
        """
        session = await self._session()
        try:
            return await asyncio.to_thread(session.renewal_time, chain)
        finally:
            session.close()

    # -- the account -----------------------------------------------------------------------

    async def _session(self) -> Session:
        """Connect, with an account; it is made when there is none."""
        async with self._registering:
            found = await self._accounts.account(self._settings.directory)
            key = (
                self._sealer.open(_owner(self._settings.directory), found.sealed_key)
                if found
                else None
            )
            if found is not None and key is not None:
                session = await asyncio.to_thread(self._open, key)
                session.use_account(found.uri)
                return session
            if found is not None:
                log.warning(
                    "the key of the ACME account cannot be opened with this key file; another account is made"
                )
            return await self._register()

    async def _register(self) -> Session:
        settings = self._settings
        key = Secret(_pem(ec.generate_private_key(ec.SECP256R1())).decode())
        session = await asyncio.to_thread(self._open, key)
        try:
            if session.terms and not settings.terms_accepted:
                raise AcmeError(
                    f"the ACME server asks to agree to its terms, {session.terms}: read them, then set --acme-accept-terms",
                    everywhere=True,
                )
            binding = await asyncio.to_thread(_binding, settings.eab_key_id, settings.eab_key_file)
            if session.needs_binding and binding is None:
                raise AcmeError(
                    "the ACME server wants an external account: set --acme-eab-key-id and --acme-eab-key-file",
                    everywhere=True,
                )
            uri = await asyncio.to_thread(session.register, settings.contact, binding)
            sealed = self._sealer.seal(_owner(settings.directory), key)
            await self._accounts.put_account(AcmeAccount(settings.directory, uri, sealed))
        except BaseException:
            session.close()
            raise
        log.info("ACME account made", directory=settings.directory, account=uri)
        session.use_account(uri)
        return session

    # -- the order -------------------------------------------------------------------------

    async def _issue(self, session: Session, host: str) -> Issued:
        key, request = await asyncio.to_thread(_new_request, host)
        order = await asyncio.to_thread(session.order, request)
        async with AsyncExitStack() as shown:
            chosen = [self._choose(host, proofs) for proofs in order.proofs]
            for proof in chosen:
                await self._show(shown, proof)
            if any(proof.challenge is Challenge.DNS for proof in chosen):
                await self._sleep(self._settings.dns_wait)
            for proof in chosen:
                await asyncio.to_thread(session.answer, proof)
            for proof in chosen:
                await self._wait_for(proof.host, session.proved, proof)
        await asyncio.to_thread(session.ask, order)
        deadline = self._wall() + FINISH_TIMEOUT
        while (chain := await asyncio.to_thread(session.finish, order)) is None:
            if self._wall() > deadline:
                raise AcmeError(f"the ACME server did not sign within {FINISH_TIMEOUT:.0f} s")
            await self._sleep(0)
        return Issued(chain, key)

    def _choose(self, host: str, proofs: Sequence[Proof]) -> Proof:
        wildcard = host.startswith("*.")
        wanted = Challenge.DNS if wildcard else self._settings.challenge
        if wanted is Challenge.DNS and self._hook is None:
            why = "a wildcard needs" if wildcard else "--acme-challenge dns-01 needs"
            raise AcmeError(f"{why} a DNS hook: set --acme-dns-hook")
        for proof in proofs:
            if proof.challenge is wanted:
                return proof
        offered = ", ".join(proof.challenge for proof in proofs) or "none that we know"
        raise AcmeError(f"the ACME server offers no {wanted} for {host}, but {offered}")

    async def _show(self, shown: AsyncExitStack, proof: Proof) -> None:
        if proof.challenge is Challenge.HTTP:
            shown.enter_context(self._responses.showing(proof.host, proof.name, proof.value))
        elif self._hook is not None:
            await shown.enter_async_context(self._hook.showing(proof.name, proof.value))

    async def _wait_for(self, host: str, proved: Callable[[Any], bool], proof: Proof) -> None:
        deadline = self._wall() + PROOF_TIMEOUT
        while not await asyncio.to_thread(proved, proof):
            if self._wall() > deadline:
                raise AcmeError(
                    f"the ACME server did not look at the proof for {host} within {PROOF_TIMEOUT:.0f} s"
                )
            await self._sleep(POLL_INTERVAL)


def _owner(directory: str) -> str:
    return f"account at {directory}"


def _new_request(host: str) -> tuple[Secret[bytes], bytes]:
    """A new P-256 key and a signing request for the host, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Secret(_pem(key)), request.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _binding(key_id: str, key_file: Path | None) -> tuple[str, Secret[str]] | None:
    if not key_id or key_file is None:
        return None
    try:
        with key_file.open("rb") as file:
            text = file.read(MAX_EAB_KEY).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not base64url text"
        raise AcmeError(
            f"the key of the external account, {key_file}, cannot be used: {reason}",
            everywhere=True,
        ) from error
    return key_id, Secret(text)
