"""ProxiedServer: a port whose connections begin with a PROXY header if they come from a configured proxy."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from pipeops.control.public.forwarding import is_trusted
from pipeops.control.public.proxy_header import ProxyHeaderError, read_proxy_header
from pipeops.control.public_settings import Network
from pipeops.runtime.logs import get_logger
from pipeops.runtime.tasks import ScopeClosedError, TaskScope, TooManyTasksError

log = get_logger(__name__)

HEADER_TIMEOUT = 5.0  # seconds; proxies send it with the first packet
ACCEPTS_PER_TURN = 64


class ProxiedServer:
    """Accepts by itself: the header stands in front of the TLS handshake, which asyncio's server begins at once.

    Args:
        connection: makes the protocol of a client; its argument is the address that the header told, or empty.
        timeouts: of the TLS handshake and of its close, in seconds.
    """

    def __init__(
        self,
        connection: Callable[[str], asyncio.BaseProtocol],
        networks: tuple[Network, ...],
        scope: TaskScope,
        *,
        ssl_context: ssl.SSLContext | None,
        timeouts: tuple[float, float],
    ) -> None:
        self._connection = connection
        self._networks = networks
        self._scope = scope
        self._ssl = ssl_context
        self._timeouts = timeouts
        self._socket: socket.socket | None = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What it listens on."""
        return (self._socket,) if self._socket is not None else ()

    def listen(self, host: str, port: int, backlog: int) -> None:
        """Begin to accept.

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = self._socket = socket.create_server((host, port), family=family, backlog=backlog)
        made.setblocking(False)
        asyncio.get_running_loop().add_reader(made.fileno(), self._accept, made)

    def close(self) -> None:
        """Stop accepting."""
        made, self._socket = self._socket, None
        if made is not None:
            asyncio.get_running_loop().remove_reader(made.fileno())
            made.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, address = listening.accept()
            except OSError:  # none left, gone again, or no descriptor: the next turn tries anew
                return
            client.setblocking(False)
            try:
                self._scope.spawn(self._admit(client, str(address[0])), name="proxied client")
            except (TooManyTasksError, ScopeClosedError):
                client.close()

    async def _admit(self, client: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            told = ""
            if is_trusted(peer, self._networks):
                async with asyncio.timeout(HEADER_TIMEOUT):
                    told = await read_proxy_header(lambda size: loop.sock_recv(client, size))
            handshake, shutdown = self._timeouts if self._ssl is not None else (None, None)
            await loop.connect_accepted_socket(
                lambda: self._connection(told),
                client,
                ssl=self._ssl,
                ssl_handshake_timeout=handshake,
                ssl_shutdown_timeout=shutdown,
            )
        except (ProxyHeaderError, TimeoutError) as error:
            log.info(
                "connection refused", peer=peer, reason=str(error) or "no PROXY header in time"
            )
            client.close()
        except OSError:  # the client is gone, or its handshake failed
            client.close()
        except asyncio.CancelledError:
            client.close()
            raise
