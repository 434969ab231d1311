"""The native dialect: the head that opens a stream and the preface that answers it.

```text
control plane ▶ agent   StreamHead · request body · FIN
agent ▶ control plane   Preface · response head · response body · FIN
anything else           x_stream_end text message, then RST
```

Byte tables live in docs/reference/protocol.md and are checked by a test. All numbers are big-endian.
"""

import enum
import struct
from dataclasses import dataclass

from pipeops.protocol.errors import RemoteProtocolError

NATIVE_VERSION = 2  # first byte of a stream; 1 is the Go agent's header (reference protocol §3.4)
UNKNOWN_LENGTH = 0xFFFF_FFFF_FFFF_FFFF
REQUEST_ID_BYTES = 16
MAX_HEAD_BYTES = 128 * 1024  # 64 KiB of client head plus principal and target

_FIXED = struct.Struct(">BBHIIQ16sHH")
_PREFACE = struct.Struct(">BBHI")
REUSABLE, _OWN = 1, 2  # bits of the preface's flags
FIXED_BYTES = _FIXED.size
PREFACE_BYTES = _PREFACE.size


class StreamKind(enum.IntEnum):
    """What a stream reaches in the cluster."""

    KUBE_API = 1
    SERVICE_HTTP = 2
    TCP = 3
    UDP = 4
    CONTROL = 5


class HeadFlag(enum.IntFlag):
    """How the request wants to be carried."""

    NONE = 0
    UPGRADE = 1  # the client asks for a raw connection after 101
    CLOSE_DELIMITED = 2  # de-chunk the answer: it ends with the connection (watches, HTTP/1.0)
    CALLER_TIMES = 4  # the caller ends the stream itself when the answer's head takes too long


class Framing(enum.IntEnum):
    """Where the response body ends, as the client will see it (RFC 9112 §6.3)."""

    NONE = 0
    LENGTH = 1
    CHUNKED = 2
    CLOSE = 3
    UPGRADE = 4  # 101: raw bytes in both directions until FIN


_FRAMINGS = tuple(Framing)
_KINDS = {int(kind): kind for kind in StreamKind}


# Not frozen: that would make each of these cost three times as much, once per request.
@dataclass(slots=True)
class StreamHead:
    """The opening of a native stream.

    Attributes:
        kind: what the stream reaches.
        flags: how the answer is to be carried (bits of HeadFlag; a plain number, since IntFlag arithmetic is slow).
        deadline_ms: milliseconds until the peer may give up; 0 means none.
        body_length: request body bytes, or UNKNOWN_LENGTH: until FIN.
        request_id: 16 bytes, in both sides' logs.
        target: service target, empty for the Kubernetes API.
        principal: encoded principal (see principal.py), empty for none.
        http_head: sanitised HTTP/1.1 request head, request line to blank line.
    """

    kind: StreamKind
    flags: int
    deadline_ms: int
    body_length: int
    request_id: bytes
    target: bytes
    principal: bytes
    http_head: bytes


_new_head = StreamHead.__new__


def encode_head(head: StreamHead) -> bytes:
    """Encode a stream head; it is sent as the first bytes of the stream."""
    return b"".join(
        (
            fixed_part(
                head.kind,
                head.flags,
                head.deadline_ms,
                head.body_length,
                head.request_id,
                len(head.target),
                len(head.principal),
                len(head.http_head),
            ),
            head.target,
            head.principal,
            head.http_head,
        )
    )


def fixed_part(
    kind: int,
    flags: int,
    deadline_ms: int,
    body_length: int,
    request_id: bytes,
    target_length: int,
    principal_length: int,
    http_length: int,
) -> bytes:
    """Encode only the fixed fields: the hot path appends the variable parts itself."""
    total = FIXED_BYTES + target_length + principal_length + http_length
    return _FIXED.pack(
        NATIVE_VERSION,
        kind,
        flags,
        total,
        deadline_ms,
        body_length,
        request_id,
        target_length,
        principal_length,
    )


#: Packs version, kind, flags, total, deadline, body length, request id, target and principal length; for the hot path.
pack_fixed = _FIXED.pack


def head_length(data: bytes | bytearray) -> int | None:
    """Total bytes of the stream head that `data` begins with, or None while too short to tell.

    Raises:
        RemoteProtocolError: not a native head, or longer than MAX_HEAD_BYTES.
    """
    if not data:
        return None
    if data[0] != NATIVE_VERSION:
        raise RemoteProtocolError(f"stream head version {data[0]}, expected {NATIVE_VERSION}")
    if len(data) < 8:
        return None
    total = int.from_bytes(data[4:8], "big")
    if not FIXED_BYTES <= total <= MAX_HEAD_BYTES:
        raise RemoteProtocolError(f"stream head of {total} bytes, at most {MAX_HEAD_BYTES}")
    return total


def read_head(data: bytes) -> tuple[StreamHead, int] | None:
    """Decode the stream head that `data` begins with, and its length; None while it is incomplete.

    Raises:
        RemoteProtocolError: not a native head, too long, or any field out of range.
    """
    if len(data) < FIXED_BYTES:
        head_length(data)
        return None
    version, kind, flags, total, deadline, body, request_id, t, p = _FIXED.unpack_from(data)
    after_target = FIXED_BYTES + t
    after_principal = after_target + p
    known = _KINDS.get(kind)
    if version != NATIVE_VERSION or not after_principal <= total <= MAX_HEAD_BYTES or known is None:
        head_length(data)
        if known is None:
            raise RemoteProtocolError(f"unknown kind of stream: {kind}")
        raise RemoteProtocolError("stream head lengths do not add up")
    if len(data) < total:
        return None
    head = _new_head(
        StreamHead
    )  # field by field: once per request, and cheaper than its constructor
    head.kind = known
    head.flags = flags
    head.deadline_ms = deadline
    head.body_length = body
    head.request_id = request_id
    head.target = data[FIXED_BYTES:after_target] if t else b""
    head.principal = data[after_target:after_principal] if p else b""
    head.http_head = data[after_principal:total]
    return head, total


def decode_head(data: bytes) -> StreamHead:
    """Decode a whole stream head (exactly `head_length` bytes).

    Raises:
        RemoteProtocolError: any field out of range.
    """
    found = read_head(data)
    if found is None or found[1] != len(data):
        raise RemoteProtocolError("stream head lengths do not add up")
    return found[0]


@dataclass(slots=True)
class Preface:
    """What precedes the response head.

    Attributes:
        framing: where the body ends.
        reusable: the client's connection may carry another request after this answer.
        own: the agent's own answer, a failure: no server in the cluster wrote it.
        status: HTTP status code.
        head_length: bytes of response head that follow.
    """

    framing: Framing
    reusable: bool
    status: int
    head_length: int
    own: bool = False


def encode_preface(
    framing: int, status: int, head_length: int, *, reusable: bool, own: bool = False
) -> bytes:
    """Encode the 8 bytes in front of a response head."""
    return _PREFACE.pack(
        framing, (REUSABLE if reusable else 0) | (_OWN if own else 0), status, head_length
    )


#: The same from framing, flags, status and head length; for the hot path, which has nothing to decide.
pack_preface = _PREFACE.pack
#: A preface as (framing, flags, status, head length); for the hot path, which checks them itself.
unpack_preface = _PREFACE.unpack_from


def decode_preface(data: bytes | memoryview) -> Preface:
    """Decode a preface from the first PREFACE_BYTES of `data`.

    Raises:
        RemoteProtocolError: unknown framing, impossible status or an oversized head.
    """
    framing, flags, status, length = _PREFACE.unpack_from(data)
    if framing >= len(_FRAMINGS) or not 100 <= status <= 999 or length > MAX_HEAD_BYTES:
        raise RemoteProtocolError("malformed response preface")
    return Preface(
        _FRAMINGS[framing], bool(flags & REUSABLE), status, length, own=bool(flags & _OWN)
    )
