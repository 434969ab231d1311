"""Server names: which host a client named in its TLS handshake (RFC 6066 section 3), kept for its connection."""

import re
import ssl

_ADDRESS = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


class NamedTls(ssl.SSLObject):
    """The server's end of a TLS connection.

    Attributes:
        sni: host named by the client, lower case and without a final dot; empty if it named none.
    """

    sni = ""


def keep_server_names(context: ssl.SSLContext) -> None:
    """Make connections of a server context remember their SNI; its own callback still chooses the certificate."""
    choose = context.sni_callback

    def remember(
        tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, used: ssl.SSLContext
    ) -> int | None:
        # RFC 6066 allows no addresses here, yet some clients send them: they name nobody.
        if isinstance(tls, NamedTls) and name and _ADDRESS.fullmatch(name) is None:
            tls.sni = name.lower().removesuffix(".")
        return choose(tls, name, used) if choose is not None else None  # type: ignore[arg-type]  # typeshed: str only

    context.sslobject_class = NamedTls
    context.sni_callback = remember


def server_name(tls: object) -> str:
    """The SNI of a transport's `ssl_object`."""
    return tls.sni if isinstance(tls, NamedTls) else ""
