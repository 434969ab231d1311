"""Frames of the first agents' tunnel: one JSON object for a request, one for its answer, no envelope."""

import base64
from typing import Any, TypeVar

import msgspec

from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.messages.proxying import HeaderMap, unpack_body

MAX_FRAME = 16 * 1024 * 1024


class SeedRequest(msgspec.Struct, kw_only=True):
    """Control plane → agent. `path` may hold a query; `body` is text, or any JSON value."""

    request_id: str
    method: str = "GET"
    path: str = "/"
    headers: dict[str, Any] | None = None
    body: Any = None
    body_encoding: str = ""

    def __repr__(self) -> str:
        """Leave out headers and body: they hold credentials."""
        return f"SeedRequest({self.method} {self.path!r})"


class SeedResponse(msgspec.Struct, kw_only=True):
    """Agent → control plane. `body` is a JSON value if the answer is JSON, else base64 as `body_encoding` says."""

    request_id: str
    status_code: int
    body: Any = None
    body_encoding: str = ""
    headers: dict[str, Any] | None = None


def read_request(data: bytes) -> SeedRequest:
    """Decode a request frame.

    Raises:
        MessageRejected: it is none.
    """
    return _decode(data, SeedRequest)


def read_response(data: bytes) -> SeedResponse:
    """Decode an answer frame.

    Raises:
        MessageRejected: it is none.
    """
    return _decode(data, SeedResponse)


def pack(body: bytes, headers: HeaderMap) -> tuple[Any, str]:
    """A body as `body` and `body_encoding`: JSON as itself, anything else as base64."""
    kind = next((v[0] for k, v in headers.items() if k.lower() == "content-type" and v), "")
    if not body:
        return None, ""
    if "json" in kind:
        try:
            return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(body))), ""
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # it says that it is JSON, and is not
    return base64.b64encode(body).decode("ascii"), "base64"


def unpack(body: Any, encoding: str) -> bytes:
    """The bytes of a received body.

    Raises:
        MessageRejected: not what its encoding says.
    """
    if body is None:
        return b""
    if isinstance(body, str):
        if encoding.lower() in ("base64", "gzip"):
            return unpack_body(body, encoding)
        return body.encode("utf-8", "replace")
    return msgspec.json.encode(body)


T = TypeVar("T", SeedRequest, SeedResponse)


def _decode(data: bytes, kind: type[T]) -> T:
    if len(data) > MAX_FRAME:
        raise MessageRejected(f"a frame of {len(data)} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected("no frame of this tunnel") from error
