"""ApiConnection: HTTP/1.1 with the API server on a TlsStream, one exchange at a time."""

import ssl

from pipeops.control.edge.l4.tls_stream import PlaintextBuffer, TlsStream
from pipeops.control.edge.upstream_connection import ConnectionOwner, UpstreamConnection
from pipeops.protocol.mux.stream import Stream


class ApiConnection(UpstreamConnection):
    """An UpstreamConnection and TlsUser."""

    __slots__ = ("_tls",)

    def __init__(
        self,
        owner: "ConnectionOwner[ApiConnection]",
        context: ssl.SSLContext,
        server_name: str,
        buffer: PlaintextBuffer,
        session: ssl.SSLSession | None,
    ) -> None:
        super().__init__(owner)
        self._tls = self._pipe = TlsStream(context, server_name, self, buffer, session=session)

    @property
    def sink(self) -> TlsStream:
        """The stream's sink."""
        return self._tls

    @property
    def session(self) -> ssl.SSLSession | None:
        """TLS session to resume."""
        return self._tls.session

    @property
    def secured(self) -> bool:
        """TLS was up at some time."""
        return self._tls.secured

    def start(self, stream: Stream, opening: bytes) -> None:
        """Begin the TLS handshake."""
        self._tls.start(stream, opening)
