"""ControlHttp: plain HTTP requests to the control plane, a connection each; through a proxy where one is set."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools
from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy

from pipeops.agent.control_plane import ControlPlaneError, ControlPlaneUrl, RegistrationRefused
from pipeops.runtime.redaction import redact_text

MAX_ANSWER = 1024 * 1024
MAX_SHOWN = 512  # characters of an answer's body in an error


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body; `retry_after` is in seconds, 0 where the answer does not say."""

    status: int
    body: bytes
    retry_after: float = 0.0


class ControlHttp:
    """Calls below the control plane's own URL, whose base path is kept."""

    def __init__(
        self,
        url: ControlPlaneUrl,
        token: Callable[[], str],
        *,
        ssl_context: Callable[[], ssl.SSLContext | None],
        proxy: Callable[[ControlPlaneUrl], str | None],
        timeout: float = 30.0,
    ) -> None:
        self._url = url
        self._token = token
        self._ssl = ssl_context
        self._proxy = proxy
        self._timeout = timeout

    async def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of a 2xx answer.

        Raises:
            RegistrationRefused: 401 or 403.
            ControlPlaneError: any other answer, or none; the text has the answer's body, cut and redacted.
        """
        answer = await self.exchange(method, path, body)
        if 200 <= answer.status < 300:
            return answer.body
        text = f"{method} {path}: the control plane answered {answer.status}: {shown(answer.body)}"
        if answer.status in (401, 403):
            raise RegistrationRefused(text)
        raise ControlPlaneError(text, status=answer.status)

    async def exchange(self, method: str, path: str, body: bytes | None = None) -> HttpAnswer:
        """The answer, whatever its status.

        Raises:
            ControlPlaneError: there was none.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, path, body)
        except TimeoutError as error:
            raise ControlPlaneError(
                f"{method} {path}: the control plane did not answer within {self._timeout:g} s"
            ) from error
        except (OSError, ProxyError, httptools.HttpParserError) as error:
            raise ControlPlaneError(f"{method} {path}: {error}") from error

    async def _exchange(self, method: str, path: str, body: bytes | None) -> HttpAnswer:
        parts = urlsplit(self._url.configured)
        secure = self._url.secure
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        proxy = self._proxy(self._url)
        options: dict[str, Any] = {"host": host, "port": port}
        if proxy is not None:
            options = {"sock": await Proxy.from_url(proxy).connect(dest_host=host, dest_port=port)}
        context = (self._ssl() or ssl.create_default_context()) if secure else None
        reader, writer = await asyncio.open_connection(
            **options, ssl=context, server_hostname=host if secure else None
        )
        try:
            writer.write(self._request(method, parts.path.rstrip("/") + path, parts.netloc, body))
            return await _read(reader)
        finally:
            writer.close()

    def _request(self, method: str, path: str, host: str, body: bytes | None) -> bytes:
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host.rpartition('@')[2]}",
            f"Authorization: Bearer {self._token()}",
            "User-Agent: Go-http-client/1.1",
            "Connection: close",
        ]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def shown(body: bytes) -> str:
    """An answer's body for people: one line, redacted and cut."""
    return redact_text(" ".join(body.decode("utf-8", "replace").split()), MAX_SHOWN)


class _Answer:
    """Callbacks of the parser."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False
        self.retry_after = 0.0

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self.retry_after = float(value[:9])

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


async def _read(reader: asyncio.StreamReader) -> HttpAnswer:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    while not answer.complete:
        data = await reader.read(65_536)
        if not data:
            break
        parser.feed_data(data)
        if len(answer.body) > MAX_ANSWER:
            raise OSError(f"an answer of more than {MAX_ANSWER} bytes")
    status = parser.get_status_code()
    if not status:
        raise OSError("the connection was closed before it was answered")
    return HttpAnswer(status, bytes(answer.body), answer.retry_after)
