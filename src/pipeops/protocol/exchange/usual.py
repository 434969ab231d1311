"""The usual messages of the PipeOps dialect, read and written in one step (reference protocol §2.5).

Nearly all requests are a body-less one for the Kubernetes API that is answered by a head, one chunk and an end. These
functions know their exact form; whatever differs from it, be it right or wrong, is None here and goes the long way
(`messages.envelope`, `exchange.pipeops`), which must come to the same result.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from pipeops.protocol.exchange.header_shapes import HeaderObjects
from pipeops.protocol.messages.proxying import (
    ProxyRequestPayload,
    ProxyResponseChunk,
    ProxyResponseEnd,
    ProxyResponseHeader,
)
from pipeops.protocol.messages.stamps import Stamps

REQUEST_START: Final = b'{"type":"proxy_request",'
ANSWER_START: Final = b'{"type":"proxy_response_'
MAX_MESSAGE: Final = 256 * 1024  # bytes; a larger one takes its time anyhow

HEAD: Final = ProxyResponseHeader.TYPE
CHUNK: Final = ProxyResponseChunk.TYPE
END: Final = ProxyResponseEnd.TYPE

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_RAW_METHODS: Final = frozenset(method.encode() for method in _METHODS)
#: Ids that are the same in JSON, in Go's escaping, and in a header.
_ID: Final = re.compile(r"[A-Za-z0-9._:/@+=~-]{1,128}")
# Path and query that are the same as a request target writes them and as JSON does. `&` is Go's to escape.
_TARGET: Final = re.compile(
    rb"(/[A-Za-z0-9/.:_~@!$'()*+,;=-]*)(?:\?([A-Za-z0-9/.:_~@!$'()*+,;=%&?|^`{}\[\]-]*))?"
)
_PATH: Final = re.compile(r"/[A-Za-z0-9/.:_~-]*")
_QUERY: Final = re.compile(r"[A-Za-z0-9/.:_~@!$'()*+,;=%&?|^`{}\[\]-]+")


# -- requests ---------------------------------------------------------------------------------


class _Payload(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    method: str
    path: str
    headers: dict[str, list[str]]
    supports_response_streaming: bool
    query: str = ""


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    request_id: str
    payload: _Payload
    timestamp: str


class UsualRequest(msgspec.Struct, frozen=True, gc=False):
    """A request without a body to the Kubernetes API, to be answered in pieces.

    Attributes:
        headers: as the message has them, not looked at.
    """

    request_id: str
    method: bytes
    target: bytes
    headers: dict[str, list[str]]


_REQUEST: Final = msgspec.json.Decoder(_Request)


def read_request(message: bytes) -> UsualRequest | None:
    """Read a text message that is a `proxy_request` of the usual form."""
    if len(message) > MAX_MESSAGE:
        return None
    try:
        found = _REQUEST.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    payload, request_id = found.payload, found.request_id
    path, query = payload.path, payload.query
    if (
        found.type != ProxyRequestPayload.TYPE
        or payload.method not in _METHODS
        or payload.supports_response_streaming is not True
        or _PATH.fullmatch(path) is None
        or _ID.fullmatch(request_id) is None
    ):
        return None
    if query:
        if _QUERY.fullmatch(query) is None:
            return None
        path = f"{path}?{query}"
    return UsualRequest(request_id, payload.method.encode(), path.encode(), payload.headers)


def write_request(
    request_id: bytes, method: bytes, target: bytes, headers: bytes, timestamp: bytes
) -> bytes | None:
    """Write a `proxy_request` without a body, to be answered in pieces.

    Args:
        request_id: letters, digits and `-`.
        method: of the request line.
        target: path and query, as in the request line.
        headers: their JSON, escaped as Go's encoder does.
        timestamp: from `Stamps`.
    """
    found = _TARGET.fullmatch(target)
    if found is None or method not in _RAW_METHODS:
        return None
    path, query = found.groups(b"")
    if b"&" in query:
        query = query.replace(b"&", b"\\u0026")
    return (
        b'{"type":"proxy_request","request_id":"%b","payload":{"method":"%b","path":"%b","query":"%b",'
        b'"headers":%b,"supports_response_streaming":true},"timestamp":"%b"}\n'
        % (request_id, method, path, query, headers, timestamp)
    )


# -- answers ----------------------------------------------------------------------------------


class AnswerPart(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The payloads of the three messages of an answer in one; each has its own members only."""

    headers: dict[str, list[str]] | msgspec.UnsetType = msgspec.UNSET
    status: int = 0
    data: bytes = b""
    encoding: str = "base64"
    size: int = 0


class UsualAnswer(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message about an answer; `type` is HEAD, CHUNK or END."""

    type: str
    request_id: str
    payload: AnswerPart
    timestamp: str


_ANSWER: Final = msgspec.json.Decoder(UsualAnswer)


def read_answer(message: bytes) -> UsualAnswer | None:
    """Read a text message that is a part of a streamed answer in the usual form."""
    if len(message) > MAX_MESSAGE:
        return None
    try:
        found = _ANSWER.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.payload.encoding == "base64" else None


class AnswerWriter:
    """Writes the messages of whole answers; one for all lanes."""

    __slots__ = ("_objects", "_stamp")

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._objects = HeaderObjects()
        self._stamp = Stamps(wall)

    def write(
        self, request_id: str, status: int, head: bytes, body: bytes
    ) -> tuple[bytes, ...] | None:
        """Write head, chunk unless `body` is empty, and end.

        Args:
            request_id: of the request.
            status: as the head has it.
            head: of HTTP/1.1, from the status line to the blank line.
            body: at most `CHUNK_BYTES`.
        """
        if _ID.fullmatch(request_id) is None:
            return None
        headers = self._objects.render(head)
        if headers is None:
            return None
        return _answer(request_id.encode(), status, headers, body, self._stamp())


def _answer(
    name: bytes, status: int, headers: bytes, body: bytes, timestamp: bytes
) -> tuple[bytes, ...]:
    head = (
        b'{"type":"proxy_response_header","request_id":"%b","payload":{"headers":%b,"status":%d},"timestamp":"%b"}\n'
        % (name, headers, status, timestamp)
    )
    end = b'{"type":"proxy_response_end","request_id":"%b","payload":{},"timestamp":"%b"}\n' % (
        name,
        timestamp,
    )
    if not body:
        return head, end
    chunk = (
        b'{"type":"proxy_response_chunk","request_id":"%b","payload":{"data":"%b","encoding":"base64","size":%d},'
        b'"timestamp":"%b"}\n' % (name, b2a_base64(body, newline=False), len(body), timestamp)
    )
    return head, chunk, end
