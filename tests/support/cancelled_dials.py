"""A program: dials and gives up at every moment of a handshake; each time, another connection must work right after."""

import asyncio
import random
import ssl
import sys
from contextlib import suppress
from typing import Any

import uvloop

from pipeops.tunnel.websocket import dial

LONGEST = 0.006  # seconds until a dial is given up: about twice what TCP and TLS take on loopback


class Deaf:
    """A socket's owner that is interested in nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the upgrade request and never answer it."""
    with suppress(OSError):
        while await reader.read(65536):
            pass
    writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    writer.close()


async def main(certificate: str, key: str, ca: str, turns: int) -> None:
    """Raises TimeoutError when a later connection is deaf."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(certificate, key)
    context = ssl.create_default_context(cafile=ca)
    rng = random.Random(4)
    async with (
        await asyncio.start_server(hold, "127.0.0.1", 0, ssl=server_context) as holding,
        await asyncio.start_server(echo, "127.0.0.1", 0) as echoing,
    ):
        port, other = (each.sockets[0].getsockname()[1] for each in (holding, echoing))
        for _ in range(turns):
            dialling = asyncio.ensure_future(
                dial(
                    Deaf(),
                    f"wss://127.0.0.1:{port}/",
                    headers={},
                    ssl_context=context,
                    proxy=None,
                    handshake_timeout=5,
                )
            )
            await asyncio.sleep(rng.uniform(0, LONGEST))
            dialling.cancel()
            await asyncio.wait([dialling])
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", other)
                writer.write(b"x")
                assert await reader.read() == b"x"
                writer.close()
        await asyncio.sleep(0.1)
    print(f"{turns} dials given up")


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:4], int(sys.argv[4])))
