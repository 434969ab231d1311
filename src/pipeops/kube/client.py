"""A small JSON client for the program's own calls: one request per connection, typed answers."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httptools
import msgspec

from pipeops.http1.tls import TlsConfigError, describe_ssl_error
from pipeops.kube.config import KubeAccess
from pipeops.kube.errors import (
    KubeAnswerError,
    KubeConfigError,
    KubeUnreachable,
    NotFound,
    Unauthorized,
    status_error,
)
from pipeops.runtime.clock import Clock

T = TypeVar("T")
Connect = Callable[
    [str, int, ssl.SSLContext | None, str],
    Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]],
]

_MAX_ANSWER: Final = 16 * 1024 * 1024
_READ: Final = 64 * 1024
_REVIEW_VERSIONS: Final = ("v1", "v1beta1", "v1alpha1")


class Version(msgspec.Struct, frozen=True, rename="camel"):
    """Answer of `/version`."""

    git_version: str = ""
    platform: str = ""


class UserInfo(msgspec.Struct, frozen=True):
    """Who the API server takes us for."""

    username: str = ""
    uid: str = ""
    groups: list[str] = msgspec.field(default_factory=list)
    extra: dict[str, list[str]] = msgspec.field(default_factory=dict)


class AccessQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `KubeClient.may` asks; empty fields mean all."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Status(msgspec.Struct, rename="camel"):
    reason: str | None = None
    message: str | None = None


class _ReviewStatus(msgspec.Struct, rename="camel"):
    user_info: UserInfo = msgspec.field(default_factory=UserInfo)


class _Review(msgspec.Struct):
    status: _ReviewStatus


class _AccessStatus(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus


class _Answer:
    """Collects one HTTP answer; the callbacks are llhttp's."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False
        self.retry_after: float | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self.retry_after = float(value[:9])

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


class KubeClient:
    """Calls one API server with the credential of its `KubeAccess`, never impersonating."""

    def __init__(
        self,
        access: KubeAccess,
        *,
        timeout: float = 10.0,
        clock: Clock | None = None,
        connect: Connect | None = None,
    ) -> None:
        """`timeout` (seconds) bounds each call as a whole; `connect` may go through a proxy."""
        self._access = access
        self._timeout = timeout
        self._clock = clock or Clock()
        self._connect = connect or _direct(access)
        self._context: tuple[int, ssl.SSLContext | None] | None = None

    async def version(self) -> Version:
        """Ask for the server's version; needs no rights. Raises `KubeError`."""
        return await self.get("/version", Version)

    async def who_am_i(self) -> UserInfo:
        """Ask whom the API server takes us for (SelfSubjectReview).

        Raises:
            KubeError: `NotFound` for servers before 1.26, `Forbidden` where it is restricted.
        """
        missing: NotFound | None = None
        for version in _REVIEW_VERSIONS:
            group = f"authentication.k8s.io/{version}"
            body = {"apiVersion": group, "kind": "SelfSubjectReview"}
            try:
                review = await self.post(f"/apis/{group}/selfsubjectreviews", body, _Review)
            except NotFound as error:
                missing = error
                continue
            return review.status.user_info
        raise missing or KubeAnswerError("the API server has no SelfSubjectReview")

    async def may(self, question: AccessQuestion) -> bool:
        """Ask whether we may do something (SelfSubjectAccessReview). Raises `KubeError`."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": msgspec.to_builtins(question)},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        review = await self.post(path, body, _AccessReview)
        return review.status.allowed

    async def get(self, path: str, kind: type[T]) -> T:
        """GET `path` and decode the answer as `kind`. Raises `KubeError`."""
        return _decode(await self.request("GET", path), kind, path)

    async def post(self, path: str, body: object, kind: type[T]) -> T:
        """POST `body` as JSON and decode the answer as `kind`. Raises `KubeError`."""
        return _decode(await self.request("POST", path, msgspec.json.encode(body)), kind, path)

    async def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request and return the body of a 2xx answer.

        The credential is refreshed when due, and once more after a 401. Cancelling closes the
        connection.

        Raises:
            KubeError: see `pipeops.kube.errors`.
        """
        credentials = self._access.credentials
        refused = False
        while True:
            if credentials.needs_refresh(self._clock.monotonic()):
                await credentials.refresh()
            try:
                return await self._once(method, path, body)
            except Unauthorized:
                credentials.invalidate()
                if refused or not credentials.needs_refresh(self._clock.monotonic()):
                    raise
                refused = True

    async def _once(self, method: str, path: str, body: bytes | None) -> bytes:
        access = self._access
        head = self._head(method, path, body)
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await self._connect(
                    access.host, access.port, self._ssl_context(), access.server_name
                )
                try:
                    writer.write(head + (body or b""))
                    status, answer = await _read_answer(reader)
                finally:
                    writer.close()
        except TimeoutError as error:
            raise KubeUnreachable(
                f"the API server {access.url} did not answer within {self._timeout:g} s"
            ) from error
        except ssl.SSLError as error:
            raise KubeUnreachable(
                f"no TLS connection to the API server {access.url}: {describe_ssl_error(error)}"
            ) from error
        except OSError as error:
            raise KubeUnreachable(
                f"cannot reach the API server {access.url}: {error.strerror or error}"
            ) from error
        if 200 <= status < 300:
            return bytes(answer.body)
        said = _status_of(answer.body)
        raise status_error(
            status,
            said.reason or "Unknown",
            (said.message or "no explanation")[:1000],
            retry_after=answer.retry_after,
        )

    def _head(self, method: str, path: str, body: bytes | None) -> bytes:
        target = quote(self._access.base_path + path, safe="/?&=%:,+~@!$'()*;._-")
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {self._access.authority}",
            "Accept: application/json",
            "User-Agent: pipeops",
            "Connection: close",
        ]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        head = "\r\n".join(lines).encode("ascii")
        authorization = self._access.credentials.authorization()
        if authorization is not None:
            head += b"\r\nAuthorization: " + authorization
        return head + b"\r\n\r\n"

    def _ssl_context(self) -> ssl.SSLContext | None:
        generation = self._access.credentials.generation
        if self._context is None or self._context[0] != generation:
            try:
                self._context = (generation, self._access.ssl_context())
            except TlsConfigError as error:
                raise KubeConfigError(str(error)) from error
        return self._context[1]


def _direct(access: KubeAccess) -> Connect:
    async def connect(
        host: str, port: int, context: ssl.SSLContext | None, server_name: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if access.proxy_url:
            raise KubeConfigError(f"{access.origin}: proxy-url is not supported here")
        return await asyncio.open_connection(
            host, port, ssl=context, server_hostname=server_name if context else None
        )

    return connect


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, _Answer]:
    answer = _Answer()
    parser = httptools.HttpResponseParser(answer)
    received = 0
    try:
        while not answer.complete:
            data = await reader.read(_READ)
            received += len(data)
            if received > _MAX_ANSWER:
                raise KubeAnswerError(f"the API server's answer is longer than {_MAX_ANSWER} bytes")
            if not data:
                return _at_end(parser, answer)
            parser.feed_data(data)
    except httptools.HttpParserError as error:
        raise KubeAnswerError("what answers at the API server's address is not HTTP") from error
    return parser.get_status_code(), answer


def _at_end(parser: Any, answer: _Answer) -> tuple[int, _Answer]:
    """Accept an answer that is delimited by the end of the connection."""
    status = parser.get_status_code()
    if status == 0 or not answer.body:
        raise KubeUnreachable("the API server closed the connection before it answered")
    return status, answer


def _status_of(body: bytes | bytearray) -> _Status:
    try:
        return msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Status()


def _decode(body: bytes, kind: type[T], path: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise KubeAnswerError(
            f"the API server's answer to {path.partition('?')[0]} is not what it should be: {error}"
        ) from error
