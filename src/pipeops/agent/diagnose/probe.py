"""One HTTP request to an address, also through a proxy, to see who answers: TLS, certificate, Date, time."""

import asyncio
import base64
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from pipeops.errors import PipeOpsError
from pipeops.http1.x509 import issuer_name, validity_of

MAX_HEAD: Final = 64 * 1024


class ProbeError(PipeOpsError):
    """The address could not be probed; the text names the hop."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an address showed of itself; None and empty where there was nothing.

    Attributes:
        status: of the HTTP answer.
        date: its Date header.
        tls: version, e.g. `TLSv1.3`.
        issuer: who signed the certificate.
        not_after: until when the certificate is valid.
        connect: seconds for TCP, proxy and TLS.
        answer: seconds from request to head.
    """

    status: int
    date: datetime | None
    tls: str
    issuer: str
    not_after: datetime | None
    connect: float
    answer: float


async def look(
    host: str,
    port: int,
    *,
    path: str = "/",
    context: ssl.SSLContext | None = None,
    server_name: str | None = None,
    proxy: str | None = None,
) -> Seen:
    """Connect, ask once, and close. Cancelling closes the connection.

    Raises:
        ProbeError: the proxy refused, or the answer is no HTTP.
        OSError: no connection; `ssl.SSLError` is one.
    """
    now = asyncio.get_running_loop().time
    started = now()
    reader, writer = await _connect(host, port, proxy)
    try:
        if context is not None:
            await writer.start_tls(context, server_hostname=server_name or host)
        connected = now()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pipeops-diagnose\r\n"
            "Connection: close\r\n\r\n".encode("latin-1", "replace")
        )
        status, fields = await _head(reader)
        answered = now()
        tls = writer.get_extra_info("ssl_object")
        der = (tls.getpeercert(binary_form=True) if tls is not None else None) or b""
        validity = validity_of(der) if der else None
        return Seen(
            status=status,
            date=_date(fields.get("date", "")),
            tls=(tls.version() or "") if tls is not None else "",
            issuer=issuer_name(der) if der else "",
            not_after=validity.not_after if validity else None,
            connect=connected - started,
            answer=answered - connected,
        )
    finally:
        writer.close()


async def untrusted_issuer(
    host: str, port: int, *, server_name: str | None = None, proxy: str | None = None
) -> str:
    """Name who signed a certificate that was not trusted; nothing is sent on this connection.

    Raises:
        ProbeError, OSError: as `look`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await _connect(host, port, proxy)
    try:
        await writer.start_tls(context, server_hostname=server_name or host)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return issuer_name(der) if der else ""
    finally:
        writer.close()


async def _connect(
    host: str, port: int, proxy: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if proxy is None:
        return await asyncio.open_connection(host, port, limit=MAX_HEAD)
    parts = urlsplit(proxy)
    if parts.scheme != "http" or not parts.hostname:
        raise ProbeError(f"a {parts.scheme} proxy cannot be probed; the tunnel itself may use it")
    name = f"{parts.hostname}:{parts.port or 80}"
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or 80, limit=MAX_HEAD
        )
    except OSError as error:
        why = error.strerror or str(error)
        raise ProbeError(f"the proxy {name} cannot be reached: {why}") from error
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
        status, _ = await _head(reader)
    except BaseException:
        writer.close()
        raise
    if not 200 <= status < 300:
        writer.close()
        raise ProbeError(f"the proxy {name} answered {status} to CONNECT {target}")
    return reader, writer


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.split("\r\n")
        version, status, *_ = first.split(" ", 2)
        if not version.startswith("HTTP/1."):
            raise ValueError(version)
        pairs = (line.partition(":") for line in rest if line)
        return int(status), {name.lower(): value.strip() for name, _, value in pairs}
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise ProbeError("what answers there does not speak HTTP") from error


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
