"""Payload: base of every message body, and tolerant decoding of one.

The other end is written in Go: it ignores unknown keys, treats a key of the wrong type as absent
and sends every number as a double. So do we, both ways; only a missing required key is an error.
"""

from functools import lru_cache
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from pipeops.protocol.errors import RemoteProtocolError

#: Parts of field names whose values never appear in `repr` (and so in no log or traceback).
_SECRET_PARTS: Final = ("token", "password", "secret", "join_command", "commands", "env")


class MessageRejected(RemoteProtocolError):
    """A message that cannot be understood or breaks a limit; it is dropped, the tunnel goes on."""

    def __init__(self, reason: str) -> None:
        """`reason` names what is wrong, never the content."""
        super().__init__(f"message rejected: {reason}")
        self.reason = reason


class Payload(msgspec.Struct, frozen=True):
    """Base of message bodies. Keys are sent in declaration order, `UNSET` ones not at all."""

    #: The envelope's `type`; empty for parts of other payloads.
    TYPE: ClassVar[str] = ""

    def __repr__(self) -> str:
        """Show the keys that are set, with credentials hidden."""
        shown = []
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is msgspec.UNSET:
                continue
            hide = value and any(part in name for part in _SECRET_PARTS)
            shown.append(f"{name}={'***' if hide else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


P = TypeVar("P", bound=Payload)


def decode_payload(raw: msgspec.Raw | bytes, kind: type[P]) -> P:
    """Decode `raw` as `kind`; keys of the wrong type count as absent.

    Raises:
        MessageRejected: not a JSON object, or a required key is absent.
    """
    try:
        return _decoder(kind).decode(raw)  # type: ignore[no-any-return]  # the cache forgets P
    except msgspec.ValidationError:
        return _decode_tolerant(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected(f"{kind.TYPE} payload is not valid JSON") from error


def decode_key(raw: msgspec.Raw, kind: Any) -> Any:
    """Decode one value as `kind`, or return `UNSET` when it is of another type."""
    try:
        return _decoder(kind).decode(raw)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.UNSET
    try:
        number = _decoder(float).decode(raw)
        # Go's doubles: 80.0 and 8e1 are the port 80.
        if number.is_integer():
            return msgspec.convert(int(number), kind)
    except (msgspec.ValidationError, OverflowError):
        pass
    return msgspec.UNSET


def _decode_tolerant(raw: msgspec.Raw | bytes, kind: type[P]) -> P:
    try:
        keys: dict[str, msgspec.Raw] = _decoder(dict[str, msgspec.Raw]).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected(f"{kind.TYPE} payload is not a JSON object") from error
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        found = keys.get(field.encode_name)
        value = msgspec.UNSET if found is None else _decode_field(found, field.type)
        if value is not msgspec.UNSET:
            values[field.name] = value
        elif field.required:
            raise MessageRejected(f"{kind.TYPE} needs a valid {field.encode_name}")
    return kind(**values)


def _decode_field(raw: msgspec.Raw, kind: Any) -> Any:
    value = decode_key(raw, kind)
    if value is msgspec.UNSET:
        for option in getattr(kind, "__args__", (kind,)):
            if isinstance(option, type) and issubclass(option, Payload):
                try:
                    return _decode_tolerant(raw, option)
                except MessageRejected:
                    return msgspec.UNSET
    return value


@lru_cache(maxsize=128)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
