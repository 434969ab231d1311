"""HTTP requests and answers as JSON messages (the PipeOps dialect), tolerant on input."""

import base64
import binascii
import re
import zlib
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import MessageRejected, Payload

#: Largest body in one message once unpacked; longer ones must be streamed.
MAX_BODY: Final = 64 * 1024 * 1024
MAX_HEADERS: Final = 512

_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_SECONDS: Final = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_ANY: Final = msgspec.json.Decoder(dict[str, Any])
_TIME: Final = Annotated[datetime, msgspec.Meta(tz=True)]

HeaderMap = dict[str, list[str]]


class ProxyRequestPayload(Payload, frozen=True, kw_only=True):
    """Control plane → agent, as sent. To read one, use `parse_request`."""

    TYPE: ClassVar[str] = "proxy_request"

    method: str = "GET"
    path: str
    query: str = ""
    headers: HeaderMap | None = None
    body: str | UnsetType = UNSET
    body_encoding: str | UnsetType = UNSET
    use_streaming: bool | UnsetType = UNSET
    supports_response_streaming: bool | UnsetType = UNSET
    scheme: str | UnsetType = UNSET
    namespace: str | UnsetType = UNSET
    service_name: str | UnsetType = UNSET
    service_port: int | UnsetType = UNSET
    is_websocket: bool | UnsetType = UNSET
    protocol: str | UnsetType = UNSET
    deadline: str | UnsetType = UNSET
    #: Milliseconds.
    timeout: int | UnsetType = UNSET


class ProxyRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A received request with aliases, defaults and encodings resolved."""

    method: str
    path: str
    query: str
    headers: HeaderMap
    body: bytes = b""
    streamed_body: bool = False
    body_follows: bool = False
    streamed_response: bool = False
    scheme: str = ""
    deadline: datetime | None = None
    #: Seconds; `None` if the control plane set none.
    timeout: float | None = None
    is_websocket: bool = False
    protocol: str = ""
    namespace: str = ""
    service_name: str = ""
    service_port: int = 0

    def __repr__(self) -> str:
        """Leave out headers and body: they hold credentials."""
        return f"ProxyRequest({self.method} {self.path!r}, {len(self.body)} bytes)"


class ProxyResponse(Payload, frozen=True, kw_only=True):
    """Agent → control plane: a whole answer. `body` is base64, of gzip if `encoding` says so."""

    TYPE: ClassVar[str] = "proxy_response"

    body: str | UnsetType = UNSET
    encoding: str | UnsetType = UNSET
    headers: dict[str, Any] | None = None
    status: int = 200


class ProxyResponseHeader(Payload, frozen=True, kw_only=True):
    """Agent → control plane: head of a streamed answer."""

    TYPE: ClassVar[str] = "proxy_response_header"

    headers: dict[str, Any] | None = None
    status: int = 200


class ProxyResponseChunk(Payload, frozen=True, kw_only=True):
    """Agent → control plane: up to 32 KiB of a streamed answer, in order."""

    TYPE: ClassVar[str] = "proxy_response_chunk"

    data: str = ""
    encoding: str = "base64"
    size: int = 0


class ProxyResponseEnd(Payload, frozen=True, kw_only=True):
    """Agent → control plane: a streamed answer is complete."""

    TYPE: ClassVar[str] = "proxy_response_end"


class ProxyResponseAbort(Payload, frozen=True, kw_only=True):
    """Agent → control plane: a streamed answer broke off, perhaps before its head."""

    TYPE: ClassVar[str] = "proxy_response_abort"

    error: str = ""


class ProxyError(Payload, frozen=True, kw_only=True):
    """Agent → control plane: a buffered request failed, or a relay could not start."""

    TYPE: ClassVar[str] = "proxy_error"

    error: str = ""
    request_id: str | UnsetType = UNSET


class ProxyRequestChunk(Payload, frozen=True, kw_only=True):
    """Control plane → agent: a piece of a streamed request body, base64 in `data` or `chunk`."""

    TYPE: ClassVar[str] = "proxy_request_chunk"

    data: str | UnsetType = UNSET
    chunk: str | UnsetType = UNSET

    def content(self) -> bytes:
        """Return the bytes. Raises `MessageRejected` if they are not base64."""
        text = self.data if self.data is not UNSET else self.chunk
        return b"" if text is UNSET else _from_base64(text)


class ProxyRequestStreamEnd(Payload, frozen=True, kw_only=True):
    """Control plane → agent: a streamed request body is complete."""

    TYPE: ClassVar[str] = "proxy_request_stream_end"


class ProxyCancel(Payload, frozen=True, kw_only=True):
    """Control plane → agent: nobody waits for this request any more."""

    TYPE: ClassVar[str] = "proxy_cancel"


class _UsualRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What nearly all requests consist of; anything else, right or wrong, goes the long way."""

    method: str
    path: str
    query: str = ""
    headers: HeaderMap = msgspec.field(default_factory=dict)
    use_streaming: bool = False
    supports_response_streaming: bool = False


_USUAL: Final = msgspec.json.Decoder(_UsualRequest)


def _usual_request(payload: msgspec.Raw | bytes) -> ProxyRequest | None:
    try:
        usual = _USUAL.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    headers = usual.headers
    if len(headers) > MAX_HEADERS or not all(headers.values()):
        return None
    return ProxyRequest(
        method=usual.method.upper() or "GET",
        path=usual.path,
        query=usual.query,
        headers=headers,
        streamed_body=usual.use_streaming,
        streamed_response=usual.supports_response_streaming,
    )


def parse_request(payload: msgspec.Raw | bytes, *, max_body: int = MAX_BODY) -> ProxyRequest:
    """Read a `proxy_request` payload. Keys of the wrong type count as absent.

    Raises:
        MessageRejected: not an object, or a body that is broken or larger than `max_body`.
    """
    usual = _usual_request(payload)
    if usual is not None:
        return usual
    try:
        keys = _ANY.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected("proxy_request payload is not a JSON object") from error
    protocol = _string(keys, "protocol")
    return ProxyRequest(
        method=(_string(keys, "method") or "GET").upper(),
        path=_string(keys, "path"),
        query=_string(keys, "query"),
        headers=header_map(keys.get("headers")),
        body=_request_body(keys, max_body),
        streamed_body=_flag(keys, "use_streaming", "streaming"),
        body_follows=_flag(keys, "body_binary"),
        streamed_response=_flag(keys, "supports_response_streaming"),
        scheme=_string(keys, "scheme").lower(),
        deadline=_moment(keys.get("deadline")),
        timeout=_timeout(keys.get("timeout")),
        is_websocket=bool(protocol) or _flag(keys, "is_websocket", "isWebSocket"),
        protocol=protocol,
        namespace=_string(keys, "namespace"),
        service_name=_string(keys, "service_name"),
        service_port=_port(keys.get("service_port")),
    )


def header_map(value: object) -> HeaderMap:
    """Normalise a received header object: values become lists, what is no string is skipped.

    Raises:
        MessageRejected: more than `MAX_HEADERS` names.
    """
    if not isinstance(value, dict):
        return {}
    if len(value) > MAX_HEADERS:
        raise MessageRejected(f"more than {MAX_HEADERS} header names")
    result: HeaderMap = {}
    for name, entry in value.items():
        values = entry if isinstance(entry, list) else [entry]
        texts = [text for text in values if isinstance(text, str)]
        if texts:
            result[name] = texts
    return result


def pack_body(body: bytes | memoryview) -> str | UnsetType:
    """Return a body as base64 text, `UNSET` when empty."""
    return base64.b64encode(body).decode("ascii") if body else UNSET


def unpack_body(
    body: str | UnsetType, encoding: str | UnsetType, *, max_body: int = MAX_BODY
) -> bytes:
    """Return the bytes of a received answer's `body`.

    Raises:
        MessageRejected: not base64, broken gzip, unknown encoding, or larger than `max_body`.
    """
    if body is UNSET or not body:
        return b""
    kind = "base64" if encoding is UNSET else encoding.lower()
    if kind not in {"base64", "gzip", ""}:
        raise MessageRejected(f"unknown body encoding {encoding!r:.40}")
    data = _from_base64(body)
    if kind == "gzip":
        data = _gunzip(data, max_body)
    if len(data) > max_body:
        raise MessageRejected(f"a body of more than {max_body} bytes")
    return data


def _gunzip(data: bytes, max_body: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, max_body + 1)
    except zlib.error as error:
        raise MessageRejected("a body that is not gzip") from error
    if len(plain) <= max_body and not unpacker.eof:
        raise MessageRejected("a gzip body that is cut off")
    return plain


def _request_body(keys: dict[str, Any], max_body: int) -> bytes:
    match keys.get("body"):
        case str() as text:
            encoded = _string(keys, "body_encoding").lower() == "base64"
            body = _from_base64(text) if encoded else text.encode("utf-8", "replace")
        case dict() | list() as document:
            body = msgspec.json.encode(document)
        case _:
            return b""
    if len(body) > max_body:
        raise MessageRejected(f"a body of {len(body)} bytes, more than {max_body}")
    return body


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageRejected("a body that is not base64") from error


def _string(keys: dict[str, Any], name: str) -> str:
    value = keys.get(name)
    return value if isinstance(value, str) else ""


def _flag(keys: dict[str, Any], *names: str) -> bool:
    return any(keys.get(name) is True for name in names)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def _port(value: object) -> int:
    number = _number(value)
    return int(number) if number is not None and 0 < number < 65_536 else 0


def _timeout(value: object) -> float | None:
    """Seconds from a number of milliseconds or a Go duration such as `1m30s`."""
    if isinstance(value, str):
        if not value or _DURATION.sub("", value[:64]):
            return None
        return sum(
            float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(value[:64])
        )
    number = _number(value)
    return number / 1000 if number is not None and number > 0 else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment: datetime = msgspec.convert(value, _TIME)
    except msgspec.ValidationError:
        return None
    return moment
