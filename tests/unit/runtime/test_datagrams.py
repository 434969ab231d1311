"""Datagrams, empty ones included."""

import socket
from typing import Any

import pytest

from pipeops.runtime.datagrams import send_datagram


class Transport:
    """A loop's transport: drops what is empty."""

    def __init__(self, own: socket.socket) -> None:
        self._own = own

    def sendto(self, data: bytes, address: Any = None) -> None:
        assert data
        self._own.send(data)

    def get_extra_info(self, name: str) -> Any:
        return self._own


@pytest.mark.parametrize("data", [b"", b"x"])
def test_each_arrives(data: bytes) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        there.settimeout(5)
        send_datagram(Transport(here), data)  # type: ignore[arg-type]
        assert there.recv(10) == data


def test_an_empty_one_to_an_address() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        there.bind(("127.0.0.1", 0))
        there.settimeout(5)
        send_datagram(Transport(here), b"", there.getsockname())  # type: ignore[arg-type]
        assert there.recv(10) == b""


def test_one_that_cannot_be_sent_is_lost() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    there.close()
    with here:
        send_datagram(Transport(here), b"")  # type: ignore[arg-type]
