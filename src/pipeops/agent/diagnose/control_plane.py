"""Checks of the way to the control plane: name, proxy, TLS, clock, and whether the token is taken."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from pipeops.agent.control_plane import ControlPlaneError, ControlPlaneUrl, explain
from pipeops.agent.diagnose.probe import look, untrusted_issuer
from pipeops.agent.diagnose.report import Check, Part
from pipeops.http1.tls import describe_ssl_error
from pipeops.tunnel.websocket import HandshakeRefused, TunnelSocket, dial

SKEW_WARN: Final = 30.0  # seconds between two clocks; certificates and tokens mind minutes
SKEW_FAIL: Final = 300.0
EXPIRY_WARN: Final = 14 * 86_400.0
SLOW: Final = 1.0
HANDSHAKE: Final = 8.0


class ControlPlaneChecks:
    """The checks, in the order in which a connection needs them.

    Args:
        url: of the control plane.
        token: gives the agent's token; empty for none.
        context: gives the TLS context the agent would use, or None for cleartext.
        proxy: the URL of the proxy on the way, if there is one.
        now: wall time.
    """

    def __init__(
        self,
        url: ControlPlaneUrl,
        token: Callable[[], str],
        context: Callable[[], ssl.SSLContext | None],
        proxy: str | None,
        now: Callable[[], datetime],
    ) -> None:
        parts = urlsplit(url.websocket)
        self._url = url
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if url.secure else 80)
        self._token = token
        self._context = context
        self._proxy = proxy
        self._now = now

    def checks(self) -> list[Check]:
        """All of them."""
        where = f"{self._host}:{self._port}"
        return [
            Check("control plane name", self.name, f"does {self._host} exist in this DNS?"),
            Check("control plane proxy", self.proxy),
            Check(
                "control plane reachable",
                self.reachable,
                f"let this machine or pod connect to {where}, or set HTTPS_PROXY",
            ),
            Check("control plane token", self.token, f"let WebSockets to {where} pass"),
        ]

    async def name(self) -> Sequence[Part]:
        """The host name resolves, unless a proxy does that."""
        if self._proxy is not None:
            return [Part("skip", "the proxy resolves it")]
        return [await resolves(self._host, self._port)]

    async def proxy(self) -> Sequence[Part]:
        """Which proxy the environment asks for."""
        if self._proxy is None:
            return [Part("ok", "none is set for this URL")]
        parts = urlsplit(self._proxy)
        user = " with a user name" if parts.username else ""
        return [Part("ok", f"{parts.scheme}://{parts.hostname}:{parts.port or ''}{user}")]

    async def reachable(self) -> Sequence[Part]:
        """Connect, say who signed the certificate, compare clocks."""
        try:
            seen = await look(
                self._host,
                self._port,
                path="/health",
                context=self._context(),
                proxy=self._proxy,
            )
        except ssl.SSLCertVerificationError as error:
            issuer = await untrusted_issuer(self._host, self._port, proxy=self._proxy)
            return [
                Part(
                    "fail",
                    f"{describe_ssl_error(error)}; it was signed by {issuer or 'nobody named'}",
                    "if that is your own CA or a proxy that opens TLS, name it with pipeops.tls.ca_file (--ca-file)",
                )
            ]
        except ssl.SSLError as error:
            return [Part("fail", describe_ssl_error(error), "is this the control plane's port?")]
        took = f"connected in {seen.connect * 1000:.0f} ms, answered in {seen.answer * 1000:.0f} ms"
        slow = seen.answer > SLOW
        return [
            Part("warn" if slow else "ok", took, "the way there is slow" if slow else ""),
            tls_part(seen.tls, seen.issuer, seen.not_after, self._now()),
            clock_part(seen.date, self._now(), "the control plane"),
        ]

    async def token(self) -> Sequence[Part]:
        """Open the WebSocket as the agent does, and close it without registering."""
        token = self._token()
        if not token:
            return [Part("fail", "there is none", "set PIPEOPS_TOKEN or --token-file")]
        try:
            tunnel = await dial(
                _Idle(),
                self._url.websocket,
                headers={"Authorization": f"Bearer {token}"},
                ssl_context=self._context(),
                proxy=self._proxy,
                handshake_timeout=HANDSHAKE,
            )
        except (HandshakeRefused, OSError, TimeoutError) as error:
            said: ControlPlaneError = explain(error, self._url, self._proxy)
            return [Part("fail", str(said))]
        tunnel.close(1000, "diagnosis")
        return [Part("ok", "the WebSocket opens and the token is taken")]


class _Idle:
    """A socket handler that does nothing; the socket is closed at once."""

    def on_open(self, socket: TunnelSocket) -> None:
        """Nothing to do."""

    def on_text(self, data: bytes) -> None:
        """Nothing to do."""

    def on_binary(self, data: memoryview) -> None:
        """Nothing to do."""

    def on_message(self, data: bytes) -> None:
        """Nothing to do."""

    def on_pong(self) -> None:
        """Nothing to do."""

    def on_pause(self) -> None:
        """Nothing to do."""

    def on_resume(self) -> None:
        """Nothing to do."""

    def on_close(self, code: int, reason: str) -> None:
        """Nothing to do."""


async def resolves(host: str, port: int) -> Part:
    """Look a name up; `OSError` if there is none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    more = f" and {len(addresses) - 4} more" if len(addresses) > 4 else ""
    return Part("ok", f"{host} is {', '.join(addresses[:4])}{more}")


def tls_part(version: str, issuer: str, not_after: datetime | None, now: datetime) -> Part:
    """Say who signed a certificate and how long it lasts."""
    if not version:
        return Part("warn", "no TLS: everybody on the way can read this", "use https", about="TLS")
    text = f"{version}, signed by {issuer or 'nobody named'}"
    if not_after is None:
        return Part("ok", text, about="TLS")
    text += f", valid until {not_after:%Y-%m-%d}"
    if (not_after - now).total_seconds() < EXPIRY_WARN:
        return Part("warn", text, "renew the certificate", about="TLS")
    return Part("ok", text, about="TLS")


def clock_part(theirs: datetime | None, now: datetime, who: str) -> Part:
    """Compare our clock with a Date header."""
    if theirs is None:
        return Part("skip", f"{who} sent no Date", about="clock")
    skew = (now - theirs).total_seconds()
    text = f"this clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {who}"
    advice = "set this machine's clock (NTP): certificates and tokens depend on it"
    if abs(skew) > SKEW_FAIL:
        return Part("fail", text, advice, about="clock")
    if abs(skew) > SKEW_WARN:
        return Part("warn", text, advice, about="clock")
    return Part("ok", text, about="clock")
