"""AcmeError: why a certificate could not be ordered."""

from pipeops.errors import PipeOpsError


class AcmeError(PipeOpsError):
    """An order failed; the message names the hop and says why.

    Attributes:
        code: the ACME error's own name (RFC 8555 §6.7) such as `rateLimited`; empty if it was none.
        retry_after: seconds that the server asks us to wait; None if it does not say.
        everywhere: it would be the same for every other host: the server is away, or refuses our account.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        retry_after: float | None = None,
        everywhere: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.everywhere = everywhere


def printable(text: str, limit: int = 500) -> str:
    """Words of a foreign server or program, fit for a log line and a terminal."""
    flat = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in flat)[:limit]
