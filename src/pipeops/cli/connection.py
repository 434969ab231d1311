"""Connecting to the control plane: TLS trust, proxies, and what went wrong in words."""

import ipaddress
import os
import ssl
from pathlib import Path

import httpx

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import Profile
from pipeops.tunnel.proxy import proxy_for, without_password

_PROXY_HINT = "it is set by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY (http://user:password@host:port); NO_PROXY excepts hosts"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)


def open_client(profile: Profile) -> httpx.Client:
    """Return a client for the profile's server; the caller closes it.

    Raises:
        CliError: The CA file or the environment's proxy cannot be used, or a token would travel in clear text.
    """
    url = httpx.URL(profile.server)
    local = is_loopback(url.host)
    headers = {"Accept": "application/json"}
    if profile.token is not None:
        if url.scheme == "http" and not local:
            raise CliError(
                f"{profile.server} is not encrypted: the token would be readable on the way",
                hint="use the https:// address of the control plane",
                code=ExitCode.USAGE,
            )
        headers["Authorization"] = f"Bearer {profile.token.reveal()}"
    try:
        _proxy(profile)
    except ValueError as error:
        raise CliError(str(error), hint=_PROXY_HINT, code=ExitCode.USAGE) from error
    return httpx.Client(
        base_url=profile.server,
        headers=headers,
        timeout=TIMEOUT,
        verify=trust(profile.ca_file),
        # A proxy cannot reach our loopback, whatever the environment says.
        trust_env=not local,
        follow_redirects=False,
    )


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying TLS context: the system's CAs and those of the file.

    Raises:
        CliError: The file cannot be used.
    """
    context = ssl.create_default_context()
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise CliError(
            f"the CA file {ca_file} cannot be used: {why}",
            hint="give the control plane's CA in PEM form with --ca-file",
            code=ExitCode.USAGE,
        ) from error
    return context


def is_loopback(host: str) -> bool:
    """Whether a host name of a URL means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def explain(error: httpx.TransportError, profile: Profile) -> CliError:
    """Say in words why the control plane could not be reached."""
    where = profile.server
    proxy = _proxy(profile)
    if proxy is not None and (problem := _proxy_problem(error)):
        return CliError(
            f"the proxy {without_password(proxy)} {problem}",
            hint=_PROXY_HINT,
            code=ExitCode.UNREACHABLE,
        )
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CliError(
                f"the certificate of {where} is not trusted: {cause.verify_message}",
                hint="give the CA that issued it with --ca-file (or PIPEOPS_CA_FILE); "
                "if you did, this may be another server than you think",
                code=ExitCode.UNREACHABLE,
            )
        if isinstance(cause, ssl.SSLError):
            return CliError(
                f"{where} does not speak TLS as it should ({cause.reason or cause})",
                hint="check the port; a control plane without certificate has an http:// address",
                code=ExitCode.UNREACHABLE,
            )
        if isinstance(cause, ConnectionRefusedError):
            return CliError(
                f"nothing listens at {where}",
                hint="start the control plane (`pipeops up`), or check the address "
                f"(it came from {profile.origin})",
                code=ExitCode.UNREACHABLE,
            )
    if "Name or service not known" in str(error) or "nodename nor servname" in str(error):
        what = f"the host name in {where} is not known"
    elif isinstance(error, httpx.TimeoutException):
        what = f"{where} did not answer in time"
    elif isinstance(error, httpx.RemoteProtocolError) and where.startswith("http://"):
        what = f"{where} closed the connection without an answer; perhaps it wants https://"
    elif isinstance(error, httpx.RemoteProtocolError):
        what = f"{where} closed the connection without an answer"
    else:
        what = f"{where} cannot be reached: {error}"
    return CliError(
        what,
        hint=f"check the address (it came from {profile.origin}) and the network",
        code=ExitCode.UNREACHABLE,
    )


def _proxy(profile: Profile) -> str | None:
    """The proxy that requests to the profile's server go through; ValueError if it is no URL of one."""
    return proxy_for(profile.server, os.environ)


def _proxy_problem(error: httpx.TransportError) -> str:
    """What the proxy did, if it was the proxy: only that is dialled, and only its refusal is a ProxyError."""
    if isinstance(error, httpx.ProxyError):
        return f"did not open a tunnel: {error}"
    if isinstance(error, httpx.ConnectError) and not any(
        isinstance(cause, ssl.SSLError) for cause in _causes(error)
    ):
        return f"cannot be reached: {error}"
    return ""


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and everything that led to it, also inside groups."""
    found: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending and len(found) < 32:
        item = pending.pop(0)
        if item is None or item in found:
            continue
        found.append(item)
        if isinstance(item, BaseExceptionGroup):
            pending.extend(item.exceptions)
        pending += [item.__cause__, item.__context__]
    return found
