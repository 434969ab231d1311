"""Where the control plane is, and what went wrong in reaching it, in words for people."""

import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from pipeops.errors import PipeOpsError
from pipeops.http1.tls import describe_ssl_error
from pipeops.tunnel.websocket import HandshakeRefused

AGENT_PATH = (
    "/api/v1/clusters/agent/ws"  # reference protocol §1.1: replaces whatever path the URL had
)


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
        where += f" (through the proxy {_without_password(proxy)})"
    if isinstance(error, HandshakeRefused):
        return _explain_answer(error, where, proxy)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ControlPlaneError(
            f"the certificate of {where} is not trusted: {error.verify_message}; "
            "if it is signed by a private CA, name that CA with pipeops.tls.ca_file (--ca-file)"
        )
    if isinstance(error, ssl.SSLError):
        hint = "; does it speak TLS on this port?" if "WRONG_VERSION" in str(error) else ""
        return ControlPlaneError(f"TLS with {where} failed: {describe_ssl_error(error)}{hint}")
    if isinstance(error, TimeoutError):
        return ControlPlaneError(f"{where} did not answer in time")
    if isinstance(error, OSError):
        return ControlPlaneError(f"{where} cannot be reached: {_os_reason(error)}")
    return ControlPlaneError(f"{where} cannot be used: {error}")


def _os_reason(error: OSError) -> str:
    """The system's own words: libraries put theirs, or none, in their place."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    if isinstance(error, ConnectionError) and not str(error):
        return "the connection was closed before the tunnel was up; is this the control plane's URL and port?"
    return error.strerror or str(error) or type(error).__name__


def _explain_answer(error: HandshakeRefused, where: str, proxy: str | None) -> ControlPlaneError:
    status = error.status
    said = _text(error.body)
    if status in (401, 403):
        return RegistrationRefused(
            f"{where} refused the agent's token ({status}){said}; issue a new one with `pipeops clusters add` or `pipeops tokens`"
        )
    if status == 0 and proxy is not None:
        return ControlPlaneError(
            f"the proxy {_without_password(proxy)} did not open a tunnel: {error}"
        )
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
    text = " ".join(body.decode("utf-8", "replace").split())[:200]
    return f": {text}" if text and text.isprintable() else ""


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
