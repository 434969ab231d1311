"""Principal: the authenticated user on whose behalf a request runs."""

import msgspec


class Principal(msgspec.Struct, frozen=True, array_like=True):
    """Who a request is for, as the agent will impersonate them.

    Attributes:
        user: Kubernetes user name, never empty.
        groups: Kubernetes groups, in the order they are sent.
        extra: `Impersonate-Extra-<key>` pairs; keys are lower-case header-safe names.
    """

    user: str
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Principal)


def encode_principal(principal: Principal) -> bytes:
    """Encode for the native stream head (MessagePack array, docs/reference/protocol.md)."""
    return _encoder.encode(principal)


def decode_principal(data: bytes) -> Principal:
    """Decode from a native stream head.

    Raises:
        ValueError: the bytes are not an encoded principal, or its user is empty.
    """
    try:
        principal = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a principal: {error}") from error
    if not principal.user:
        raise ValueError("a principal without a user")
    return principal
