"""AcmeSession: one order's conversation with an ACME server (RFC 8555), over certbot's `acme` library; blocking.

The library is the one that certbot runs on, and the only one for Python that follows the CAs; it blocks, so a session is
used from a thread, by one order at a time, and each call is short: a request or two, with a timeout.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, cast

import josepy.errors
import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from pipeops import __version__
from pipeops.control.certificate_settings import Challenge
from pipeops.control.certificates.acme_errors import AcmeError, printable
from pipeops.runtime.logs import library_logger
from pipeops.runtime.secrets import Secret

TIMEOUT: Final = 10  # seconds without an answer; also how long a stop may have to wait for a thread
NONCE_TRIES: Final = 4  # a server may refuse any nonce (RFC 8555 §6.5); the library repeats once
_POLL: Final = 1.5  # seconds of one `finish`: one request, after the second that the library waits
_MAX_RETRY_AFTER: Final = 7 * 86_400.0
# Refusals that concern the account, whatever the host.
_ACCOUNT: Final = frozenset(
    {"accountDoesNotExist", "externalAccountRequired", "badPublicKey", "userActionRequired"}
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What must be shown so that the server believes that a host is ours.

    Attributes:
        host: without a wildcard's star.
        challenge: how.
        name: the token that HTTP asks for, or the DNS name of the TXT record.
        value: the key authorization, or the record's content.
        handle: for the session.
    """

    host: str
    challenge: Challenge
    name: str
    value: str
    handle: tuple[messages.AuthorizationResource, messages.ChallengeBody]


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the server; `proofs` has the possible ones of each host that is not proved yet."""

    proofs: tuple[tuple[Proof, ...], ...]
    resource: messages.OrderResource


class AcmeSession:
    """Blocking; every method raises `AcmeError`.

    Args:
        directory: URL of the server's directory.
        account_key: PEM, P-256.
        ca_file: PEM; trusted instead of the public authorities.
        wall: seconds since 1970, for dates in Retry-After.
    """

    def __init__(
        self,
        directory: str,
        account_key: Secret[str],
        ca_file: Path | None,
        wall: Callable[[], float],
    ) -> None:
        library_logger("acme")  # its debug lines hold whole requests
        private = serialization.load_pem_private_key(account_key.reveal().encode(), None)
        self._key = JWKEC(key=cast(ec.EllipticCurvePrivateKey, private))
        self._url = directory
        self._wall = wall
        self._retry_after: float | None = None
        self._network = ClientNetwork(
            self._key,
            alg=ES256,
            # requests takes a path here, too
            verify_ssl=cast(bool, str(ca_file)) if ca_file is not None else True,
            user_agent=f"pipeops-control/{__version__}",
            timeout=TIMEOUT,
        )
        self._network.session.hooks["response"].append(self._note)
        with self._explained(everywhere=True):
            self._client = ClientV2(ClientV2.get_directory(directory, self._network), self._network)

    def close(self) -> None:
        """Close its connections."""
        self._network.session.close()

    def _note(self, response: requests.Response, *_: object, **__: object) -> None:
        self._retry_after = read_retry_after(response.headers.get("Retry-After", ""), self._wall())

    # -- the account -----------------------------------------------------------------------

    @property
    def terms(self) -> str:
        """URL of the server's terms of service; empty if there are none."""
        return str(self._client.directory.meta.terms_of_service or "")

    @property
    def needs_binding(self) -> bool:
        """The server takes accounts only that are bound to another of its own (RFC 8555 §7.3.4)."""
        return bool(self._client.external_account_required())

    def register(self, contact: tuple[str, ...], binding: tuple[str, Secret[str]] | None) -> str:
        """Make an account, or find the one of this key; the terms are agreed to. Returns its URL.

        Args:
            contact: e-mail addresses.
            binding: key id and base64url key of the other account.
        """
        external = None
        if binding is not None:
            try:
                external = messages.ExternalAccountBinding.from_data(
                    self._key.public_key(), binding[0], binding[1].reveal(), self._client.directory
                )
            except (ValueError, TypeError, KeyError) as error:
                raise AcmeError(
                    "the key of the external account binding is not base64url", everywhere=True
                ) from error
        wanted = messages.NewRegistration.from_data(
            contact=tuple(f"mailto:{one}" for one in contact),
            terms_of_service_agreed=True,
            external_account_binding=external,
        )
        with self._explained(everywhere=True):
            try:
                return str(self._call(self._client.new_account, wanted).uri)
            except errors.ConflictError as known:
                return known.location

    def use_account(self, uri: str) -> None:
        """Speak for an account from now on."""
        self._network.account = messages.RegistrationResource(uri=uri, body=messages.Registration())

    # -- an order --------------------------------------------------------------------------

    def order(self, request: bytes) -> Order:
        """Order a certificate; `request` is a PEM certificate signing request."""
        with self._explained():
            resource = self._call(self._client.new_order, request)
        return Order(
            tuple(
                self._proofs(one)
                for one in resource.authorizations
                if one.body.status != messages.STATUS_VALID
            ),
            resource,
        )

    def _proofs(self, authorization: messages.AuthorizationResource) -> tuple[Proof, ...]:
        host = str(authorization.body.identifier.value)
        found = []
        for body in authorization.body.challenges:
            handle = (authorization, body)
            if isinstance(body.chall, challenges.HTTP01):
                token = body.chall.encode("token")
                value = str(body.chall.validation(self._key))
                found.append(Proof(host, Challenge.HTTP, token, value, handle))
            elif isinstance(body.chall, challenges.DNS01):
                name = body.chall.validation_domain_name(host)
                value = str(body.chall.validation(self._key))
                found.append(Proof(host, Challenge.DNS, name, value, handle))
        return tuple(found)

    def answer(self, proof: Proof) -> None:
        """Tell the server that it may look now."""
        body = proof.handle[1]
        with self._explained():
            self._call(self._client.answer_challenge, body, body.chall.response(self._key))

    def proved(self, proof: Proof) -> bool:
        """Whether the server believes it; raises if it does not."""
        with self._explained():
            authorization, _ = self._call(self._client.poll, proof.handle[0])
        status = authorization.body.status
        if status in {messages.STATUS_PENDING, messages.STATUS_PROCESSING}:
            return False
        if status == messages.STATUS_VALID:
            return True
        raise AcmeError(_why_not(authorization), code=_code(authorization))

    def ask(self, order: Order) -> None:
        """All is proved: ask for the certificate itself."""
        with self._explained():
            try:
                self._call(self._client.begin_finalization, order.resource)
            except messages.Error as error:
                if error.code != "orderNotReady":  # `finish` asks again
                    raise

    def finish(self, order: Order) -> bytes | None:
        """The chain, PEM; None: not yet, ask again. Takes a second or two."""
        # The library compares with the machine's own naive time.
        deadline = datetime.now() + timedelta(seconds=_POLL)  # noqa: DTZ005, TID251
        with self._explained():
            try:
                done = self._call(self._client.poll_finalization, order.resource, deadline)
            except errors.TimeoutError:
                return None
        return str(done.fullchain_pem).encode()

    def renewal_time(self, chain: bytes) -> float | None:
        """When the server would like a certificate to be renewed (RFC 9773), seconds since 1970; None: it does not say."""
        with self._explained():
            try:
                when, _ = self._client.renewal_time(chain)
            except x509.ExtensionNotFound:  # without its issuer's key id it has no name there
                return None
        return when.timestamp() if when is not None else None

    # -- errors ----------------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        for _ in range(NONCE_TRIES - 1):
            try:
                return function(*arguments)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return function(*arguments)

    @contextmanager
    def _explained(self, *, everywhere: bool = False) -> Iterator[None]:
        """Turn what the library raises into `AcmeError`."""
        self._retry_after = None
        try:
            yield
        except messages.Error as error:
            raise self._refused(error, everywhere=everywhere) from error
        except errors.IssuanceError as error:
            raise self._refused(error.error, everywhere=everywhere) from error
        except (OSError, errors.ARIError) as error:  # what requests raises are OSErrors
            raise AcmeError(
                f"the ACME server {self._url} cannot be reached: {_network_reason(error)}",
                retry_after=self._retry_after,
                everywhere=True,
            ) from error
        except (errors.Error, josepy.errors.Error, ValueError, KeyError, AttributeError) as error:
            raise AcmeError(
                f"the ACME server {self._url} did not answer as one: {printable(str(error) or type(error).__name__, 200)}",
                retry_after=self._retry_after,
                everywhere=True,
            ) from error

    def _refused(self, error: messages.Error, *, everywhere: bool) -> AcmeError:
        code = str(error.typ).rpartition(":")[2]
        return AcmeError(
            f"the ACME server refused: {_said(error)}",
            code=code,
            retry_after=self._retry_after,
            everywhere=everywhere or code in _ACCOUNT,
        )


def read_retry_after(text: str, now: float) -> float | None:
    """Seconds of a Retry-After header, RFC 9110 §10.2.3; at most a week; None if there is none."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), _MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - now, 0.0), _MAX_RETRY_AFTER)


def _said(error: messages.Error) -> str:
    parts = [error.detail or error.title or error.description or str(error.typ)]
    parts += [one.detail or "" for one in error.subproblems or ()]
    code = str(error.typ).rpartition(":")[2]
    return printable(f"{'; '.join(part for part in parts if part)} ({code})")


def _why_not(authorization: messages.AuthorizationResource) -> str:
    host = authorization.body.identifier.value
    said = [_said(one.error) for one in authorization.body.challenges if one.error is not None]
    reason = "; ".join(said) or f"its authorization is {authorization.body.status.name}"
    return f"the ACME server does not believe that {host} is ours: {printable(reason)}"


def _code(authorization: messages.AuthorizationResource) -> str:
    for one in authorization.body.challenges:
        if one.error is not None:
            return str(one.error.typ).rpartition(":")[2]
    return ""


def _network_reason(error: BaseException) -> str:
    """The innermost cause: the layers above repeat addresses and object ids."""
    seen: BaseException = error
    for _ in range(8):
        inner = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
        if not isinstance(inner, BaseException):
            break
        seen = inner
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT} s"
    return printable(getattr(seen, "strerror", None) or str(seen) or type(seen).__name__, 200)
