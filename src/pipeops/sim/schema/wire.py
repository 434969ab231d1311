"""Reads request bodies in Kubernetes' Protobuf encoding, which typed clients send.

Field numbers come from wire.txt, types from types.txt. The envelope is a prefix and a `runtime.Unknown`
(apimachinery/pkg/runtime/serializer/protobuf).
"""

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from pipeops.sim.objects import JsonObject, micro_timestamp, timestamp
from pipeops.sim.schema.model import Definition, Field, Type, definitions, resolve
from pipeops.sim.schema.numbers import WireField, wire_structs

MAGIC = b"k8s\x00"
MAX_DEPTH = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class MalformedError(ValueError):
    """Not a body that we can read."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise MalformedError("truncated or oversized varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise MalformedError("truncated field or unknown wire type")
        yield number, data[at : at + size]
        at += size


def _text(value: int | bytes) -> str:
    if isinstance(value, int):
        raise MalformedError("a number where text belongs")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("text is not UTF-8") from error


def _raw(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise MalformedError("a number where a message belongs")
    return value


def _first(data: int | bytes, number: int = 1) -> int | bytes:
    return next((value for found, value in _fields(_raw(data)) if found == number), b"")


def decode_envelope(body: bytes) -> JsonObject:
    """The object in a Protobuf body.

    Raises:
        MalformedError: truncated, or of a kind whose encoding we do not know.
    """
    if not body.startswith(MAGIC):
        raise MalformedError("the body does not start with the Kubernetes Protobuf prefix")
    version = kind = ""
    raw = b""
    for number, value in _fields(body[len(MAGIC) :]):
        if number == 1:
            for inner, text in _fields(_raw(value)):
                if inner == 1:
                    version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2:
            raw = _raw(value)
    return {"apiVersion": version, "kind": kind, **_message(raw, _definition(version, kind), 0)}


def _definition(version: str, kind: str) -> Definition:
    group, _, number = version.rpartition("/")
    prefix = group.split(".")[0] if group else "core"
    for name in (f"{prefix}.{number}.{kind}", f"meta.v1.{kind}"):
        if name in definitions() and name in wire_structs():
            return definitions()[name]
    raise MalformedError(f"no Protobuf form of {version} {kind}")


def _message(data: bytes, definition: Definition, depth: int, wire: str = "") -> JsonObject:
    if depth > MAX_DEPTH:
        raise MalformedError("nested too deeply")
    numbers = wire_structs().get(wire or definition.name)
    if numbers is None:
        raise MalformedError(f"no Protobuf form of {definition.name}")
    found: JsonObject = {}
    for number, value in _fields(data):
        known = numbers.get(number)
        if known is None:
            continue
        if known.embedded:
            found |= _message(_raw(value), definition, depth + 1, known.embedded)
            continue
        schema = definition.fields.get(known.name)
        if schema is not None:
            _put(found, known, schema, value, depth)
    return found


def _put(
    found: JsonObject, known: WireField, schema: Field, value: int | bytes, depth: int
) -> None:
    kind = schema.type
    if kind.form == "list":
        element = kind.element or Type("any")
        found.setdefault(known.name, []).append(_value(element, value, depth))
        return
    if kind.form == "map":
        key, item = _entry(kind.element or Type("any"), _raw(value), depth)
        found.setdefault(known.name, {})[key] = item
        return
    read = _value(kind, value, depth)
    # Go writes the zero value of fields that are not pointers; JSON leaves those out.
    if read or known.pointer or schema.required:
        found[known.name] = read


def _entry(element: Type, data: bytes, depth: int) -> tuple[str, Any]:
    key, value = "", b""
    for number, part in _fields(data):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = part if isinstance(part, bytes) else b""
    if element.form == "list":  # ExtraValue: a message around the list
        inner = element.element or Type("any")
        return key, [_value(inner, item, depth) for n, item in _fields(value) if n == 1]
    return key, _value(element, value, depth)


def _value(kind: Type, value: int | bytes, depth: int) -> Any:
    if kind.name == "meta.v1.MicroTime":
        return _moment(value, micro=True)
    shape = resolve(kind)
    if isinstance(shape, Definition):
        return _message(_raw(value), shape, depth + 1)
    if shape.form == "any":
        return _any(value)
    return _scalar(shape.name, value)


def _any(value: int | bytes) -> Any:
    raw = _first(value)
    try:
        return json.loads(_raw(raw) or b"null")
    except ValueError as error:
        raise MalformedError("an embedded document is not JSON") from error


def _scalar(name: str, value: int | bytes) -> Any:
    match name:
        case "time":
            return _moment(value)
        case "quantity":
            return _text(_first(value) or b"0")
        case "int-or-string":
            parts = dict(_fields(_raw(value)))
            return _text(parts.get(3, b"")) if parts.get(1) else _signed(parts.get(2, 0))
        case "bytes":
            return base64.b64encode(_raw(value)).decode()
        case "bool":
            return bool(value)
        case "num":
            return struct.unpack("<d", _raw(value))[0]
        case "int32" | "int64":
            return _signed(value)
        case _:
            return _text(value)


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise MalformedError("bytes where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


def _moment(value: int | bytes, *, micro: bool = False) -> str | None:
    parts = dict(_fields(_raw(value)))
    seconds, nanos = _signed(parts.get(1, 0)), _signed(parts.get(2, 0))
    if not parts or seconds < 0:
        return None
    return micro_timestamp(seconds + nanos / 1e9) if micro else timestamp(seconds)
