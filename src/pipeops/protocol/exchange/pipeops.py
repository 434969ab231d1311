"""The PipeOps dialect: exchange events as JSON messages keyed by request id (reference protocol §2.5, §3.2, §3.3).

Pure translation: what one message means, and which message says something. Order is `state`'s business,
queues and sockets are the callers'.
"""

import re
import struct
import zlib
from datetime import datetime
from typing import ClassVar, Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.exchange.events import (
    Aborted,
    AnswerEvent,
    BodyChunk,
    BodyEnd,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.json_fields import HOP, OWN, SINGLE, WEBSOCKET, canonical, fields
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.headers import (
    Headers,
    HeadersRejected,
    is_token,
    upgrade_protocol,
    without_hop_by_hop,
)
from pipeops.protocol.messages.envelope import Envelope
from pipeops.protocol.messages.payload import MessageRejected, Payload
from pipeops.protocol.messages.proxying import (
    HeaderMap,
    ProxyError,
    ProxyRequest,
    ProxyRequestPayload,
    ProxyResponse,
    ProxyResponseAbort,
    ProxyResponseChunk,
    ProxyResponseEnd,
    ProxyResponseHeader,
    header_map,
    pack_body,
    parse_request,
    unpack_body,
)

CHUNK_BYTES: Final = 32 * 1024  # raw bytes of one proxy_response_chunk at most (§2.5.4)
MAX_CHUNK: Final = 4 * 1024 * 1024  # of an answer read here; peers send CHUNK_BYTES
MAX_WHOLE: Final = 32 * 1024 * 1024  # of an answer in one message
MIN_GZIP: Final = 1024  # buffered bodies from here on are compressed for transport (§2.5.3)
MIN_BINARY: Final = 10 * 1024  # buffered bodies from here on leave in the binary frame (§3.2)

_COMPRESSIBLE = ("text/", "json", "javascript", "xml", "html", "yaml")
_INCOMPRESSIBLE = ("gzip", "compress", "zip", "image/", "video/", "audio/")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/.:_~-]*")
_QUERY_SAFE = _PATH_SAFE + '?[]{}|\\^`"<>'
_AMBIGUOUS = re.compile(rb"%(?:2[Ff]|25)")
_BINARY_STATUS = struct.Struct(">II")


# -- requests, read by the agent --------------------------------------------------------------


class IncomingRequest(msgspec.Struct, frozen=True, gc=False):
    """A `proxy_request` in the vocabulary of events.

    Attributes:
        body: what of the body came with it.
        streamed_body: the body comes in further messages.
        body_follows: the body is the next binary message.
        streamed_answer: answer with header, chunks and end, otherwise with one message.
        seconds: time the whole exchange may take, or None.
        service: name, namespace and port of a Service; None for the Kubernetes API.
        service_tls: speak TLS to the Service.
        websocket: the request asks for a WebSocket.
        protocols: subprotocols to offer then, as the message names them.
        host: its Host header; empty without one.
    """

    head: RequestHead
    body: bytes
    streamed_body: bool
    body_follows: bool
    streamed_answer: bool
    seconds: float | None
    service: tuple[str, str, int] | None
    service_tls: bool
    websocket: bool = False
    protocols: str = ""
    host: bytes = b""


def read_request(payload: msgspec.Raw | bytes, *, now: datetime) -> IncomingRequest:
    """Translate a `proxy_request` payload.

    Raises:
        MessageRejected: its `reason` is what `proxy_error` shall say.
    """
    request = parse_request(payload)
    method = request.method.encode("ascii", "replace")
    if not is_token(method) or len(method) > 32:
        raise MessageRejected("invalid method")
    headers, host, websocket = _request_headers(request)
    body_to_come = request.streamed_body or request.body_follows
    head = RequestHead(
        method,
        target_of(request.path, request.query),
        headers,
        None if body_to_come else len(request.body),
    )
    return IncomingRequest(
        head=head,
        body=b"" if body_to_come else request.body,
        streamed_body=request.streamed_body,
        body_follows=request.body_follows and not request.streamed_body,
        streamed_answer=request.streamed_response,
        seconds=_seconds(request, now),
        service=_service(request),
        service_tls=request.scheme == "https",
        websocket=websocket,
        protocols=request.protocol,
        host=host,
    )


def target_of(path: str, query: str) -> bytes:
    """Request target from a decoded path and a raw query.

    Go agents encode every percent sign of `path` once more; ours lets existing escapes stand, so that an
    encoded slash can be expressed. No byte that ends a request line survives.
    """
    if not query and _PLAIN_PATH.fullmatch(path):  # as nearly all are
        return path.encode()
    escaped = quote(_STRAY_PERCENT.sub("%25", path), safe=_PATH_SAFE, errors="replace")
    if not escaped.startswith("/"):
        escaped = "/" + escaped
    if query:
        escaped += "?" + quote(query, safe=_QUERY_SAFE, errors="replace")
    return escaped.encode("ascii")


def _request_headers(request: ProxyRequest) -> tuple[Headers, bytes, bool]:
    """What goes to the server; the Host; and whether the request asks for a WebSocket."""
    kept: Headers = []
    host, traits = b"", 0
    single: set[bytes] = set()
    try:
        found = fields(request.headers)
        for field in found:
            traits |= field.traits
            if not field.traits:
                kept.append(field.header)
                continue
            if field.traits & SINGLE:
                if field.lower in single:
                    raise MessageRejected(f"invalid header: more than one {field.lower.decode()}")
                single.add(field.lower)
            if field.lower == b"host":
                host = host or field.header[1]
            if not field.traits & (OWN | HOP):
                kept.append(field.header)
        websocket = request.is_websocket or bool(traits & WEBSOCKET)
        if traits & HOP:
            headers = [field.header for field in found]
            if not websocket and upgrade_protocol(headers):
                raise MessageRejected(
                    "upgrades other than to WebSocket are not carried by proxy_request"
                )
            further = set(without_hop_by_hop(headers))
            kept = [header for header in kept if header in further]
    except HeadersRejected as error:
        raise MessageRejected(f"invalid header: {error.reason}") from error
    return kept, host, websocket


def _seconds(request: ProxyRequest, now: datetime) -> float | None:
    if request.deadline is not None:
        return (request.deadline - now).total_seconds()
    return request.timeout


def _service(request: ProxyRequest) -> tuple[str, str, int] | None:
    if not (request.service_name or request.namespace or request.service_port):
        return None
    return request.service_name, request.namespace, request.service_port


def split_binary_body(data: bytes) -> tuple[str, bytes]:
    """Request id and body of the binary message that follows a `body_binary` request (§3.3).

    Raises:
        MessageRejected: too short, or the id is not text.
    """
    size = int.from_bytes(data[:2], "big")
    if len(data) < 2 + size:
        raise MessageRejected("a binary body that is shorter than its header says")
    try:
        return data[2 : 2 + size].decode(), data[2 + size :]
    except UnicodeDecodeError as error:
        raise MessageRejected("a binary body whose request id is not text") from error


# -- answers, written by the agent ------------------------------------------------------------


def streamed_payload(event: AnswerEvent) -> Payload:
    """The message that says one event of a streamed answer; a chunk holds at most `CHUNK_BYTES`."""
    match event:
        case ResponseHead(status, headers):
            return ProxyResponseHeader(status=status, headers=to_header_map(headers))
        case BodyChunk(data):
            if len(data) > CHUNK_BYTES:
                raise LocalProtocolError(f"a chunk of {len(data)} bytes")
            text = pack_body(data)
            return ProxyResponseChunk(
                data=text if text is not msgspec.UNSET else "", size=len(data)
            )
        case BodyEnd():
            return ProxyResponseEnd()
        case Aborted():
            return ProxyResponseAbort(error=error_text(event))


def buffered_payload(head: ResponseHead, body: bytes) -> ProxyResponse:
    """A whole answer in one message; compressed under the Go agent's rule."""
    headers = to_header_map(head.headers)
    if not body:
        return ProxyResponse(status=head.status, headers=headers)
    if len(body) >= MIN_GZIP and is_compressible(headers):
        packer = zlib.compressobj(level=1, wbits=31)
        packed = packer.compress(body) + packer.flush()
        return ProxyResponse(
            status=head.status, headers=headers, body=pack_body(packed), encoding="gzip"
        )
    return ProxyResponse(
        status=head.status, headers=headers, body=pack_body(body), encoding="base64"
    )


def binary_response(request_id: str, head: ResponseHead, body: bytes) -> bytes:
    """A whole answer as one binary message (§3.2), never compressed: nothing in it could say so."""
    name = request_id.encode()
    if len(name) > 0xFFFF:
        raise LocalProtocolError("a request id of more than 65535 bytes")
    headers = msgspec.json.encode(to_header_map(head.headers), order="deterministic")
    fixed = _BINARY_STATUS.pack(head.status, len(headers))
    return b"".join((len(name).to_bytes(2, "big"), name, fixed, headers, body))


def error_text(aborted: Aborted) -> str:
    """What `proxy_error` and `proxy_response_abort` say; control planes look for some of these words (§4.11)."""
    if aborted.hop is Hop.CONTROL_PLANE:  # a request that could not be understood
        return aborted.reason
    what = "service" if aborted.hop is Hop.SERVICE else "kubernetes API"
    if aborted.status == 504:
        return f"{what} request failed: context deadline exceeded: {aborted.reason}"
    return f"{what} request failed: {aborted.reason}"


def to_header_map(headers: Headers) -> HeaderMap:
    """Headers as the JSON object of names and lists of values, names in Go's canonical spelling."""
    result: HeaderMap = {}
    for name, value in headers:
        result.setdefault(canonical(name), []).append(_text(value))
    return result


def is_compressible(headers: HeaderMap) -> bool:
    """The Go agent's rule, on the first value of `Content-Type` (§2.5.3)."""
    kind = (headers.get("Content-Type") or [""])[0]
    return any(word in kind for word in _COMPRESSIBLE) and not any(
        word in kind for word in _INCOMPRESSIBLE
    )


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


# -- requests, written by the control plane ---------------------------------------------------


class RenderedRequest(Payload, frozen=True, kw_only=True):
    """A `proxy_request` whose headers are JSON already: they repeat from request to request."""

    TYPE: ClassVar[str] = ProxyRequestPayload.TYPE

    method: str
    path: str
    query: str
    headers: msgspec.Raw
    body: str | msgspec.UnsetType = msgspec.UNSET
    body_encoding: str | msgspec.UnsetType = msgspec.UNSET
    use_streaming: bool | msgspec.UnsetType = msgspec.UNSET
    supports_response_streaming: bool = True


def render_headers(headers: Headers) -> msgspec.Raw:
    """Headers as the JSON that `request_payload` takes."""
    return msgspec.Raw(msgspec.json.encode(to_header_map(headers)))


def request_payload(head: RequestHead, headers: msgspec.Raw | None = None) -> RenderedRequest:
    """The `proxy_request` for a request of the Kubernetes API, answered in pieces; without its body.

    `headers` are those of `head`, if they have been rendered before.

    Raises:
        MessageRejected: the target cannot be said in this dialect, whose path is a decoded one.
    """
    raw_path, _, query = head.target.partition(b"?")
    if _AMBIGUOUS.search(raw_path):
        raise MessageRejected("a path with an encoded slash or percent sign")
    try:
        path = unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError as error:
        raise MessageRejected("a path that is not UTF-8") from error
    return RenderedRequest(
        method=head.method.decode("ascii"),
        path=path,
        query=query.decode("latin-1"),
        headers=render_headers(head.headers) if headers is None else headers,
    )


# -- answers, read by the control plane -------------------------------------------------------


def read_answer(message: Envelope) -> tuple[AnswerEvent, ...]:
    """The events that one message of the agent says; empty for a type that is no answer.

    Raises:
        MessageRejected: a payload that cannot be understood.
    """
    match message.type:
        case ProxyResponseHeader.TYPE:
            header = message.decode(ProxyResponseHeader)
            return (_response_head(header.status, header.headers),)
        case ProxyResponseChunk.TYPE:
            chunk = message.decode(ProxyResponseChunk)
            return _chunks(unpack_body(chunk.data, chunk.encoding, max_body=MAX_CHUNK))
        case ProxyResponseEnd.TYPE:
            return (BodyEnd(),)
        case ProxyResponseAbort.TYPE:
            return (_aborted(message.decode(ProxyResponseAbort).error),)
        case ProxyError.TYPE:
            return (_aborted(message.decode(ProxyError).error),)
        case ProxyResponse.TYPE:
            answer = message.decode(ProxyResponse)
            head = _response_head(answer.status, answer.headers)
            body = unpack_body(answer.body, answer.encoding, max_body=MAX_WHOLE)
            return (head, *_chunks(body), BodyEnd())
        case _:
            return ()


def _chunks(data: bytes) -> tuple[BodyChunk, ...]:
    return (BodyChunk(data),) if data else ()


def _response_head(status: int, headers: object) -> ResponseHead:
    try:
        found = fields(header_map(headers))
    except HeadersRejected as error:
        raise MessageRejected(f"an answer with an invalid header: {error.reason}") from error
    if not status:
        status = 200  # Go's zero value
    if not 200 <= status <= 999:
        raise MessageRejected(f"an answer with the status {status}")
    kept = [field.header for field in found]
    if any(field.traits & HOP for field in found):
        kept = without_hop_by_hop(kept)
    return ResponseHead(status, kept)


def _aborted(text: str) -> Aborted:
    """A failure told in words only, with the status for it (§4.11)."""
    status, hop = 502, Hop.KUBE_API
    if "deadline exceeded" in text or "Client.Timeout" in text:
        status = 504
    elif text.startswith(("invalid ", "unsupported ")):
        status, hop = 400, Hop.AGENT
    elif "client not initialized" in text or "client unavailable" in text:
        status, hop = 503, Hop.AGENT
    printable = "".join(char if char.isprintable() else " " for char in text[:512])
    return Aborted(status, printable or "the agent gave no reason", hop)
