"""The OpenAPI v2 document in Protobuf, the only form that kubectl before 1.27 reads.

Field numbers: gnostic-models, openapiv2/OpenAPIv2.proto.
"""

from collections.abc import Iterable

import msgspec

from pipeops.sim.objects import JsonObject

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""The answer's: what clients ask for is no valid media type."""
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def varint(value: int) -> bytes:
    """A base-128 number."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def field(number: int, value: bytes | str) -> bytes:
    """One length-delimited field."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def _named(name: str, value: bytes) -> bytes:
    return field(1, name) + field(2, value)


def _extension(name: str, value: object) -> bytes:
    return _named(name, field(2, msgspec.json.encode(value)))


def schema(node: JsonObject) -> bytes:
    """A `Schema` message."""
    parts: list[bytes] = []
    for key, number in (("$ref", 1), ("format", 2), ("description", 4)):
        if node.get(key):
            parts.append(field(number, node[key]))
    parts += [field(19, name) for name in node.get("required") or ()]
    extra = node.get("additionalProperties")
    if isinstance(extra, dict):
        parts.append(field(21, field(1, schema(extra))))
    if node.get("type"):
        parts.append(field(22, field(1, node["type"])))
    if isinstance(node.get("items"), dict):
        parts.append(field(23, field(1, schema(node["items"]))))
    if properties := node.get("properties"):
        named = (field(1, _named(name, schema(inner))) for name, inner in properties.items())
        parts.append(field(25, b"".join(named)))
    parts += [
        field(31, _extension(key, value)) for key, value in node.items() if key.startswith("x-")
    ]
    return b"".join(parts)


def _parameters(listed: Iterable[JsonObject]) -> bytes:
    found = b""
    for parameter in listed:
        query = field(2, "query") + field(4, parameter["name"])
        found += field(8, field(1, field(2, field(3, query))))
    return found


def _operation(node: JsonObject) -> bytes:
    marks = (field(13, _extension(k, v)) for k, v in node.items() if k.startswith("x-"))
    return field(5, node.get("operationId", "")) + _parameters(node["parameters"]) + b"".join(marks)


def _path(item: JsonObject) -> bytes:
    return b"".join(
        field(_METHODS[method], _operation(operation))
        for method, operation in item.items()
        if method in _METHODS
    )


def document(body: JsonObject) -> bytes:
    """A `Document` message of a v2 document as `Documents` builds it."""
    info = field(1, body["info"]["title"]) + field(2, body["info"]["version"])
    paths = b"".join(field(2, _named(path, _path(item))) for path, item in body["paths"].items())
    definitions = b"".join(
        field(1, _named(name, schema(node))) for name, node in body["definitions"].items()
    )
    return field(1, body["swagger"]) + field(2, info) + field(8, paths) + field(9, definitions)
