"""Where the control plane is, and what went wrong in reaching it, in words for people."""

import errno
import os
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from pipeops.errors import PipeOpsError
from pipeops.http1.tls import describe_ssl_error
from pipeops.tunnel.proxy import without_password
from pipeops.tunnel.websocket import HandshakeRefused

AGENT_PATH = (
    "/api/v1/clusters/agent/ws"  # reference protocol §1.1: replaces whatever path the URL had
)

_SHOWN: Final = 400  # characters of a foreign answer
_TITLE: Final = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_STATUS_407: Final = re.compile(r"\b407\b")
_UNTRUSTED: Final = (  # words of OpenSSL, and what helps
    ("mismatch", "the host in pipeops.api_url must be one that the certificate is for"),
    ("has expired", "it must be renewed there, unless this machine's clock is wrong"),
    ("not yet valid", "is this machine's clock right?"),
)
_OTHER_CA: Final = (
    "if it is signed by a private CA, name that CA with pipeops.tls.ca_file (--ca-file)"
)
_CLIENT_CERTIFICATE: Final = "it wants a client certificate that it trusts: check pipeops.tls.cert_file and pipeops.tls.key_file"


class ControlPlaneError(PipeOpsError):
    """The control plane could not be reached or did not take us; trying again may help."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float = 0.0, status: int = 0) -> None:
        super().__init__(message)
        self.status = status  # of an HTTP answer, 0 if there was none
        self.retry_after = retry_after


class RegistrationRefused(ControlPlaneError):
    """The control plane will not have this agent (401, 403, superseded): only a person can help."""

    retryable = False


class Superseded(RegistrationRefused):
    """A newer process of the same instance is connected: this one must go, or the two would fight for ever."""


@dataclass(frozen=True, slots=True)
class ControlPlaneUrl:
    """The control plane's address as configured, and as dialled."""

    configured: str
    websocket: str
    secure: bool

    @classmethod
    def parse(cls, url: str) -> "ControlPlaneUrl":
        """Derive the WebSocket URL: https and wss stay secure, http and ws are cleartext, never swapped.

        Raises:
            ValueError: not an absolute URL of one of these schemes.
        """
        parts = urlsplit(url)
        schemes = {"https": "wss", "wss": "wss", "http": "ws", "ws": "ws"}
        scheme = schemes.get(parts.scheme)
        if scheme is None or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL like https://control.example.com")
        netloc = parts.netloc.rpartition("@")[2]
        return cls(
            url,
            urlunsplit((scheme, netloc, AGENT_PATH, parts.query, "")),
            scheme == "wss",
        )

    def at(self, path: str) -> "ControlPlaneUrl":
        """The same server, another WebSocket path below its base path."""
        base = urlsplit(self.configured).path.rstrip("/")
        parts = urlsplit(self.websocket)
        dialled = urlunsplit((parts.scheme, parts.netloc, base + path, parts.query, ""))
        return ControlPlaneUrl(self.configured, dialled, self.secure)

    @property
    def is_loopback(self) -> bool:
        """The control plane runs on this machine."""
        host = urlsplit(self.websocket).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def explain(error: Exception, url: ControlPlaneUrl, proxy: str | None) -> ControlPlaneError:
    """What a failed dial means and what to do about it."""
    where = f"the control plane at {url.configured}"
    if proxy is not None:
        if isinstance(error, OSError) and _is_about_the_proxy(error):
            return _proxy_error(proxy, f"cannot be reached: {_os_reason(error)}")
        where += f" (through the proxy {without_password(proxy)})"
    if isinstance(error, HandshakeRefused):
        return _explain_answer(error, where, proxy)
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, where)
    if isinstance(error, TimeoutError):
        return ControlPlaneError(f"{where} did not answer in time; is a firewall in between?")
    if isinstance(error, OSError):
        return ControlPlaneError(
            f"{where} cannot be reached: {_os_reason(error, secure=url.secure)}"
        )
    return ControlPlaneError(f"{where} cannot be used: {error}")


def _explain_tls(error: ssl.SSLError, where: str) -> ControlPlaneError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", None) or str(error)
        hint = next((hint for word, hint in _UNTRUSTED if word in why), _OTHER_CA)
        return ControlPlaneError(f"the certificate of {where} is not trusted: {why}; {hint}")
    reason = getattr(error, "reason", None) or str(error)
    if "WRONG_VERSION" in reason or "HTTP_REQUEST" in reason:
        return ControlPlaneError(
            f"{where} does not speak TLS on this port; is the port right, or must the URL begin with http://?"
        )
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return ControlPlaneError(
            f"TLS with {where} failed: {describe_ssl_error(error)}; {_CLIENT_CERTIFICATE}"
        )
    return ControlPlaneError(f"TLS with {where} failed: {describe_ssl_error(error)}")


def _is_about_the_proxy(error: OSError) -> bool:
    """Only the proxy is dialled; whether it reaches the control plane it says in HTTP."""
    unreachable = (errno.EHOSTUNREACH, errno.ENETUNREACH)
    return isinstance(error, ConnectionRefusedError | socket.gaierror) or error.errno in unreachable


def _proxy_error(proxy: str, what: str) -> ControlPlaneError:
    return ControlPlaneError(
        f"the proxy {without_password(proxy)} {what}; it is set by HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY), "
        "and NO_PROXY excepts hosts from it"
    )


def most_telling(errors: BaseExceptionGroup[ControlPlaneError]) -> ControlPlaneError:
    """The most telling of what ended a connection: a refusal before anything else."""
    flat: list[ControlPlaneError] = []
    pending: list[BaseException] = [errors]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        elif isinstance(error, ControlPlaneError):
            flat.append(error)
    refused = [error for error in flat if isinstance(error, RegistrationRefused)]
    return (refused or flat)[0]


def _os_reason(error: OSError, *, secure: bool = True) -> str:
    """The system's own words: libraries put theirs, or none, in their place."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    if isinstance(error, ConnectionError) and not str(error):
        # What a peer says with its last TLS message is lost on the way to us (TLS 1.3 client certificates).
        other = (
            "does it want a client certificate (pipeops.tls.cert_file)"
            if secure
            else "must it be https://"
        )
        return f"the connection was closed before the tunnel was up; is this the control plane's URL and port, or {other}?"
    return error.strerror or str(error) or type(error).__name__


def _explain_answer(error: HandshakeRefused, where: str, proxy: str | None) -> ControlPlaneError:
    status = error.status
    said = _text(error.body)
    if status in (401, 403):
        return RegistrationRefused(
            f"{where} refused the agent's token ({status}){said}; `pipeops clusters token NAME` issues a new one, `pipeops clusters add NAME` adds a cluster"
        )
    if status == 0 and proxy is not None:
        hint = ""
        if _STATUS_407.search(str(error)):
            hint = " (it asks for a user and password, in its URL before the host)"
        return _proxy_error(proxy, f"did not open a tunnel: {error}{hint}")
    if status == 400 and "SSL certificate" in said:
        return ControlPlaneError(f"{where} answered 400{said}; {_CLIENT_CERTIFICATE}")
    if status == 400 and "HTTPS port" in said:
        return ControlPlaneError(f"{where} answered 400{said}; the URL must begin with https://")
    if status == 0:
        return ControlPlaneError(
            f"{where} does not speak WebSocket here: {error}; is this the control plane's URL?"
        )
    if status in (404, 405, 426):
        return ControlPlaneError(
            f"{where} has no agent endpoint ({status}); is this the control plane's URL?",
            status=status,
        )
    retry_after = error.headers.get("Retry-After", "")
    return ControlPlaneError(
        f"{where} answered {status} instead of opening the tunnel{said}",
        retry_after=min(float(retry_after), 300.0) if retry_after.isdecimal() else 0.0,
    )


def _text(body: bytes) -> str:
    """What an answer says to a person: the message of a Status, the title of a page, else its beginning."""
    text = body.decode("utf-8", "replace")
    if (title := _TITLE.search(text)) is not None:
        text = title.group(1)
    elif text.startswith("{"):
        with suppress(msgspec.MsgspecError):
            text = msgspec.json.decode(body, type=_Status).message or text
    text = " ".join(text.split())[:_SHOWN]
    return f": {text}" if text and text.isprintable() else ""


class _Status(msgspec.Struct):
    message: str = ""
