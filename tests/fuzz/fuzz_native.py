"""Fuzz target: any bytes are a stream head, a preface or a principal that re-encodes to itself, or are refused."""

from contextlib import suppress

from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange import native
from pipeops.protocol.exchange.principal import decode_principal, encode_principal
from tests.fuzz import harness


def check(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        total = native.head_length(data)
        if total is not None and len(data) >= total:
            head = native.decode_head(data[:total])
            assert native.encode_head(head) == data[:total]
            with suppress(ValueError):
                principal = decode_principal(head.principal)
                assert decode_principal(encode_principal(principal)) == principal
    if len(data) >= native.PREFACE_BYTES:
        with suppress(RemoteProtocolError):
            preface = native.decode_preface(data)
            again = native.encode_preface(
                preface.framing,
                preface.status,
                preface.head_length,
                reusable=preface.reusable,
                own=preface.own,
            )
            assert native.decode_preface(again) == preface


if __name__ == "__main__":
    harness.main("native", check)
