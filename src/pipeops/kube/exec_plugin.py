"""Credentials from an exec plugin, such as those of EKS, GKE and AKS.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from pipeops.http1.tls import ClientCertificate
from pipeops.kube.credentials import bearer
from pipeops.kube.errors import CredentialError
from pipeops.runtime.clock import Clock
from pipeops.runtime.redaction import redact_text
from pipeops.runtime.secrets import Secret

API_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_TIMEOUT: Final = 30.0
_MAX_OUTPUT: Final = 1024 * 1024
_SHOWN_STDERR: Final = 600
#: A refused credential is not fetched again more often than this: plugins call cloud APIs.
_MIN_INTERVAL: Final = 5.0


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the plugin; `command` is a path, or a name to look up in PATH."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    install_hint: str = ""
    #: `spec.cluster` of the request, when the kubeconfig asks for `provideClusterInfo`.
    cluster: dict[str, Any] | None = None


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Credential(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    status: _Status | None = None


class ExecPlugin:
    """A `CredentialSource` that runs a command; nothing is fetched before the first `refresh`."""

    def __init__(self, spec: ExecSpec, clock: Clock, environment: Mapping[str, str]) -> None:
        """`environment` is what the command inherits, before the additions of `spec.env`."""
        self._spec = spec
        self._clock = clock
        self._environment = environment
        self._authorization: bytes | None = None
        self._certificate: ClientCertificate | None = None
        self._generation = 0
        self._fetched_at: float | None = None
        self._expires_at: float | None = None
        self._refused = False
        self._running: asyncio.Event | None = None
        self._failure = ""  # of the last run

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
        """Before the first fetch, shortly before the credential expires, or after a refusal."""
        if self._fetched_at is None:
            return True
        if self._expires_at is not None and now >= self._expires_at:
            return True
        return self._refused and now - self._fetched_at >= _MIN_INTERVAL

    def invalidate(self) -> None:
        """See `CredentialSource`; plugins are run again at most every few seconds."""
        self._refused = True

    async def refresh(self) -> None:
        """Run the plugin, or wait for the run that is under way.

        Cancelling it ends the command. Raises `CredentialError` naming the command.
        """
        while self._running is not None:
            await self._running.wait()
            if self._failure:
                raise CredentialError(self._failure)
            if not self.needs_refresh(self._clock.monotonic()):
                return
            # Whoever ran it was cancelled: it is our turn.
        self._running = asyncio.Event()
        self._failure = ""
        try:
            self._take(_parse(self._spec, await _run(self._spec, self._environment)))
        except CredentialError as error:
            self._failure = str(error)
            raise
        finally:
            self._running.set()
            self._running = None

    def _take(self, status: _Status) -> None:
        authorization = bearer(Secret(status.token)) if status.token else None
        certificate = None
        if status.client_certificate_data and status.client_key_data:
            certificate = ClientCertificate(
                status.client_certificate_data.encode(),
                Secret(status.client_key_data.encode()),
                f"certificate from exec plugin {self._spec.command}",
            )
        if authorization is None and certificate is None:
            raise CredentialError(f"{_named(self._spec)} gave neither a token nor a certificate")
        now = self._clock.monotonic()
        self._fetched_at = now
        self._refused = False
        self._expires_at = None
        if status.expiration_timestamp is not None:
            left = status.expiration_timestamp.timestamp() - self._clock.wall()
            # Never below the interval: a plugin that returns expired credentials must not spin.
            self._expires_at = now + max(left - min(30.0, left / 10), _MIN_INTERVAL)
        if (authorization, certificate) != (self._authorization, self._certificate):
            self._authorization, self._certificate = authorization, certificate
            self._generation += 1


def _named(spec: ExecSpec) -> str:
    return f"exec plugin {spec.command}"


def _parse(spec: ExecSpec, output: bytes) -> _Status:
    try:
        credential = msgspec.json.decode(output, type=_Credential)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        # The error names a path in the document, never a value.
        raise CredentialError(f"{_named(spec)} printed no ExecCredential: {error}") from error
    if credential.kind != "ExecCredential" or credential.status is None:
        raise CredentialError(f"{_named(spec)} printed no ExecCredential with a status")
    if credential.api_version != spec.api_version:
        raise CredentialError(
            f"{_named(spec)} answered with apiVersion {credential.api_version[:60]!r}, but the"
            f" kubeconfig asks for {spec.api_version}"
        )
    return credential.status


async def _run(spec: ExecSpec, environment: Mapping[str, str]) -> bytes:
    request = {
        "kind": "ExecCredential",
        "apiVersion": spec.api_version,
        "spec": {"interactive": False, **({"cluster": spec.cluster} if spec.cluster else {})},
    }
    env = {
        **environment,
        **dict(spec.env),
        "KUBERNETES_EXEC_INFO": msgspec.json.encode(request).decode(),
    }
    command = shutil.which(spec.command, path=env.get("PATH"))
    if command is None:
        hint = f"; {spec.install_hint.strip()[:500]}" if spec.install_hint else ""
        raise CredentialError(f"{_named(spec)} is not installed or not executable{hint}")
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *spec.args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise CredentialError(f"{_named(spec)} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_TIMEOUT), asyncio.TaskGroup() as group:
            out = group.create_task(_read(process.stdout))
            err = group.create_task(_read(process.stderr))
            code = await process.wait()
    except TimeoutError as error:
        raise CredentialError(f"{_named(spec)} did not finish within {_TIMEOUT:.0f} s") from error
    finally:
        # The whole session: plugins are often shell scripts around the real command.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code != 0:
        said = redact_text(err.result().decode("utf-8", "replace").strip()[-_SHOWN_STDERR:])
        raise CredentialError(
            f"{_named(spec)} failed with code {code}: {said or 'it printed nothing'}"
        )
    if len(out.result()) > _MAX_OUTPUT:
        raise CredentialError(f"{_named(spec)} printed more than {_MAX_OUTPUT} bytes")
    return out.result()


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Read to the end, keeping no more than one byte beyond the limit."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(65_536)):
        kept += chunk[: _MAX_OUTPUT + 1 - len(kept)]
    return bytes(kept)
