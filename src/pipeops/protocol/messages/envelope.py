"""Envelope: the JSON object around every text message, in Go's encoding byte for byte."""

import builtins
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from pipeops.protocol.errors import LocalProtocolError
from pipeops.protocol.messages.payload import MessageRejected, P, Payload, decode_payload

#: Largest text message we take. Buffered bodies travel in them as base64, so it is generous.
MAX_BYTES: Final = 16 * 1024 * 1024
#: Nesting of arrays and objects, the envelope included. Kubernetes objects rarely pass 20.
MAX_DEPTH: Final = 64
MAX_TYPE: Final = 128
MAX_REQUEST_ID: Final = 1024

_AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
_WIRE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_TIME: Final = msgspec.json.Decoder(_AwareTime)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{]|([\]}])")


class Envelope(msgspec.Struct, frozen=True):
    """One received message; `payload` is undecoded JSON, `{}` if there was none."""

    type: str
    request_id: str | None
    payload: msgspec.Raw
    time: msgspec.Raw | None = None

    @property
    def timestamp(self) -> datetime | None:
        """When the peer says it was sent; None if it does not, or without a zone. Nothing depends on it."""
        if self.time is None:
            return None
        try:
            return _TIME.decode(self.time)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def decode(self, kind: builtins.type[P]) -> P:
        """Decode the payload as `kind`. Raises `MessageRejected`."""
        return decode_payload(self.payload, kind)


class _Wire(msgspec.Struct):
    type: str
    request_id: str | msgspec.UnsetType
    payload: Any
    timestamp: str


class _Exact(msgspec.Struct):
    """An envelope with the usual keys in their usual spelling: nearly all of them."""

    type: str
    request_id: str
    payload: msgspec.Raw
    timestamp: msgspec.Raw = msgspec.Raw(b"null")


_EXACT: Final = msgspec.json.Decoder(_Exact)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
) -> Envelope:
    """Decode one text message.

    As the Go agent: envelope keys match in any case, unknown ones are ignored, a `payload` that is
    no object and a `type` or `request_id` that is no string are errors. More lenient in one
    point: a timestamp without zone counts as absent, since nothing depends on it.

    Raises:
        MessageRejected: with the reason; `data` may be reused afterwards in any case.
    """
    if len(data) > max_bytes:
        raise MessageRejected(f"{len(data)} bytes, more than {max_bytes}")
    # A private copy: the payload refers to it, and `data` may be a borrowed read buffer.
    body = bytes(data)
    _check_depth(body, max_depth)
    usual = _decode_exact(body)
    if usual is not None:
        return usual
    try:
        wire = {key.lower(): value for key, value in _WIRE.decode(body).items()}
    except msgspec.ValidationError as error:
        raise MessageRejected("not a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected("not valid JSON") from error
    kind = _text(wire, "type", MAX_TYPE)
    if not kind:
        raise MessageRejected("it has no type")
    return Envelope(
        kind,
        _text(wire, "request_id", MAX_REQUEST_ID) or None,
        _payload(wire),
        wire.get("timestamp"),
    )


def _decode_exact(body: bytes) -> Envelope | None:
    """The quick way; None if anything is unusual, right or wrong: then the long way decides."""
    try:
        found = _EXACT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    kind, request_id = found.type, found.request_id
    if not 0 < len(kind) <= MAX_TYPE or not 0 < len(request_id) <= MAX_REQUEST_ID:
        return None
    if bytes(memoryview(found.payload)[:1]) != b"{":
        return None
    return Envelope(kind, request_id, found.payload, found.timestamp)


def encode(
    kind: str,
    payload: Payload | dict[str, Any] | msgspec.Raw | None,
    *,
    request_id: str | None = None,
    now: datetime,
) -> bytes:
    """Encode one text message as the Go agent would, newline included.

    Struct keys keep their order, keys of dicts are sorted bytewise, `None` becomes `null`.

    Raises:
        LocalProtocolError: the payload holds something that has no JSON form.
    """
    wire = _Wire(kind, request_id or msgspec.UNSET, payload, format_time(now))
    try:
        body = _ENCODER.encode(wire)
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"{kind} cannot be encoded: {error}") from error
    return escape(body) + b"\n"


def format_time(moment: datetime) -> str:
    """Format as RFC 3339 in UTC with the fraction's trailing zeros removed, as Go does.

    Raises:
        LocalProtocolError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise LocalProtocolError("a timestamp needs a time zone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    text = moment.isoformat()[: -len("+00:00")]
    return (text.rstrip("0") if moment.microsecond else text) + "Z"


def escape(body: bytes) -> bytes:
    """Escape in JSON what Go's encoder escapes for HTML and JavaScript; all of it can only be in strings."""
    body = body.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if not body.isascii():
        body = body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return body


def _check_depth(body: bytes, max_depth: int) -> None:
    # Fewer brackets than levels allowed: nothing to count exactly, strings or not.
    if body.count(b"{") + body.count(b"[") <= max_depth:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", body)):
        depth += -1 if bracket.group(1) else 1
        if depth > max_depth:
            raise MessageRejected(f"nested deeper than {max_depth} levels")


def _text(wire: dict[str, msgspec.Raw], key: str, limit: int) -> str:
    raw = wire.get(key)
    if raw is None or bytes(raw) == b"null":
        return ""
    try:
        text = _TEXT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageRejected(f"its {key} is not a string") from error
    if len(text) > limit:
        raise MessageRejected(f"its {key} is longer than {limit} characters")
    return text


def _payload(wire: dict[str, msgspec.Raw]) -> msgspec.Raw:
    raw = wire.get("payload")
    start = b"null" if raw is None else bytes(memoryview(raw)[:4])
    if raw is None or start == b"null":
        return msgspec.Raw(b"{}")
    if not start.startswith(b"{"):
        raise MessageRejected("its payload is not an object")
    return raw
