"""ProxiedServer: a port whose connections begin with a PROXY header if they come from a configured proxy."""

import asyncio
import errno
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
SHORTAGE_PAUSE = 1.0  # seconds without accepting when there is no descriptor or memory for a client, as asyncio waits

_SHORTAGES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


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
        self._pause: asyncio.TimerHandle | None = None

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
        self._resume(made)

    def _resume(self, listening: socket.socket) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        """Stop accepting."""
        made, self._socket = self._socket, None
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if made is not None:
            asyncio.get_running_loop().remove_reader(made.fileno())
            made.close()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, address = listening.accept()
            except OSError as error:  # none left, or gone again
                if error.errno in _SHORTAGES:
                    self._wait(listening, error)
                return
            client.setblocking(False)
            try:
                self._scope.spawn(self._admit(client, str(address[0])), name="proxied client")
            except (TooManyTasksError, ScopeClosedError):
                client.close()

    def _wait(self, listening: socket.socket, error: OSError) -> None:
        """The client stays in the queue, so the socket stays readable: without a pause the loop would do nothing else."""
        log.error("clients cannot be accepted", reason=error.strerror, pause_seconds=SHORTAGE_PAUSE)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())
        self._pause = loop.call_later(SHORTAGE_PAUSE, self._resume, listening)

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
