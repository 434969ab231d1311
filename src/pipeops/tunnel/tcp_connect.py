"""connect: a TCP connection as a plain socket that its caller keeps hold of, one address after the other."""

import asyncio
import socket


async def connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of `host` that answers. Cancelling leaves no socket behind.

    Raises:
        OSError: what the first address said; `socket.gaierror` if there is none.
    """
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        candidate = socket.socket(family, kind, protocol)
        try:
            candidate.setblocking(False)
            await loop.sock_connect(candidate, address)
        except OSError as error:
            candidate.close()
            failure = failure or error
        except BaseException:
            candidate.close()
            raise
        else:
            return candidate
    raise failure or socket.gaierror(socket.EAI_NONAME, "the name has no address")
