"""PROXY headers of both versions, cut anywhere, and what is none."""

import asyncio
import socket
import struct

import pytest

from pipeops.control.public.proxy_header import (
    MAX_LINE,
    SIGNATURE,
    ProxyHeaderError,
    read_proxy_header,
)


def read(data: bytes, size: int = 1000) -> tuple[str, bytes]:
    """What the header told, and what was left unread."""
    left = data

    async def receive(wanted: int) -> bytes:
        nonlocal left
        piece, left = left[: min(wanted, size)], left[min(wanted, size) :]
        return piece

    return asyncio.run(read_proxy_header(receive)), left


def binary(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes((0x20 | command, family)) + struct.pack(">H", len(body)) + body


V4 = binary(
    1, 0x11, socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + b"\0\x50\x01\xbb"
)
V6 = binary(
    1,
    0x21,
    socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + b"\0\x50\x01\xbb" + b"\x04\0\x01x",
)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\n", "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", ""), (b"PROXY UNKNOWN a b c d\r\n", ""),
        (V4, "192.0.2.1"), (V6, "2001:db8::1"), (binary(0, 0, b""), ""), (binary(1, 0x31, b"x" * 216), ""),
    ],
)  # fmt: skip
def test_a_header_tells_the_client_and_nothing_behind_it_is_read(
    header: bytes, address: str, size: int
) -> None:
    assert read(header + b"\x16\x03\x01GET", size) == (address, b"\x16\x03\x01GET")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GET / HTTP/1.1\r\n", b"PROXY TCP4 192.0.2.1", b"PROXY TCP4 x y 1 2\r\n", b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", b"PROXY " + b"x" * 200 + b"\r\n",
        SIGNATURE, binary(1, 0x11, b"short"), binary(2, 0x11, b"x" * 12), SIGNATURE + b"\x31\x11\0\x00",
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read(data)


def test_the_longest_line_is_read() -> None:
    source = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    line = f"PROXY TCP6 {source} {source} 65535 65535\r\n".encode()
    assert len(line) <= MAX_LINE
    assert read(line)[0] == source
