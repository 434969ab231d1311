"""A small JSON client for the program's own calls: one request per connection, typed answers."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeVar

import msgspec

from pipeops.kube.config import KubeAccess
from pipeops.kube.errors import KubeAnswerError, NotFound, Unauthorized
from pipeops.kube.transport import JSON, Connect, Request, Transport
from pipeops.runtime.clock import Clock

T = TypeVar("T")

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


class _ReviewStatus(msgspec.Struct, rename="camel"):
    user_info: UserInfo = msgspec.field(default_factory=UserInfo)


class _Review(msgspec.Struct):
    status: _ReviewStatus


class _AccessStatus(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus


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
        self._transport = Transport(access, connect)

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

    async def get(self, path: str, kind: type[T], *, accept: str = JSON) -> T:
        """GET `path` and decode the answer as `kind`. Raises `KubeError`."""
        return decode(await self._call(Request("GET", path, accept=accept)), kind, path)

    async def post(self, path: str, body: object, kind: type[T]) -> T:
        """POST `body` as JSON and decode the answer as `kind`. Raises `KubeError`."""
        request = Request("POST", path, msgspec.json.encode(body))
        return decode(await self._call(request), kind, path)

    async def put(self, path: str, body: object, kind: type[T]) -> T:
        """PUT `body` as JSON and decode the answer as `kind`. Raises `KubeError`."""
        request = Request("PUT", path, msgspec.json.encode(body))
        return decode(await self._call(request), kind, path)

    async def patch(self, path: str, body: object, kind: type[T], *, content_type: str) -> T:
        """PATCH `body`, whose kind of patch is `content_type`, and decode the answer. Raises `KubeError`."""
        request = Request("PATCH", path, msgspec.json.encode(body), content_type)
        return decode(await self._call(request), kind, path)

    async def delete(self, path: str, options: object = None) -> None:
        """DELETE `path` with `DeleteOptions`. Raises `KubeError`, `NotFound` included."""
        body = None if options is None else msgspec.json.encode(options)
        await self._call(Request("DELETE", path, body))

    async def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request and return the body of a 2xx answer.

        The credential is refreshed when due, and once more after a 401. Cancelling closes the
        connection.

        Raises:
            KubeError: see `pipeops.kube.errors`.
        """
        return bytes(await self._call(Request(method, path, body)))

    async def fetch(self, path: str, *, seconds: float | None = None) -> bytearray:
        """GET `path` undecoded, within `seconds` (default: the client's). Raises `KubeError`."""
        return await self._call(Request("GET", path), seconds)

    async def lines(self, path: str, *, silence: float) -> AsyncGenerator[bytes, None]:
        """GET `path` and yield the answer's lines as they come; a pause of `silence` seconds is an error.

        Leave early with `aclosing`, which closes the connection. Raises `KubeError`.
        """
        credentials = self._access.credentials
        refused = False
        while True:
            await self._refresh()
            lines = self._transport.lines(
                Request("GET", path), seconds=self._timeout, silence=silence
            )
            async with aclosing(lines):
                try:
                    async for line in lines:
                        yield line
                except Unauthorized:
                    credentials.invalidate()
                    if refused or not credentials.needs_refresh(self._clock.monotonic()):
                        raise
                    refused = True
                else:
                    return

    async def _call(self, request: Request, seconds: float | None = None) -> bytearray:
        credentials = self._access.credentials
        refused = False
        while True:
            await self._refresh()
            try:
                return await self._transport.fetch(request, seconds=seconds or self._timeout)
            except Unauthorized:
                credentials.invalidate()
                if refused or not credentials.needs_refresh(self._clock.monotonic()):
                    raise
                refused = True

    async def _refresh(self) -> None:
        credentials = self._access.credentials
        if credentials.needs_refresh(self._clock.monotonic()):
            await credentials.refresh()


def decode(body: bytes | bytearray | msgspec.Raw, kind: type[T], path: str) -> T:
    """Decode an answer of `path`. Raises `KubeAnswerError`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise KubeAnswerError(
            f"the API server's answer to {path.partition('?')[0]} is not what it should be: {error}"
        ) from error
