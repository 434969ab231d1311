"""Sending datagrams, empty ones included: the event loops drop those, which some protocols use to ask or to knock."""

import os
import socket
from asyncio import DatagramTransport
from contextlib import suppress


def send_datagram(
    transport: DatagramTransport, data: bytes, address: tuple[str, int] | None = None
) -> None:
    """Send one datagram, to `address` where the socket has no peer of its own; it may be lost, as UDP allows."""
    if data:
        transport.sendto(data, address)
        return
    # asyncio (python/cpython#115199) and uvloop take nothing for "nothing to do".
    descriptor = transport.get_extra_info("socket").fileno()
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as own:
        if address is None:
            own.send(data)
        else:
            own.sendto(data, address)
