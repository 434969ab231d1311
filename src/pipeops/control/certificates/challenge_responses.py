"""ChallengeResponses: what the plain-HTTP listener answers a certificate authority with (RFC 8555 §8.3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PATH: Final = "/.well-known/acme-challenge/"
"""What comes before the token in a request's path."""


class ChallengeResponses:
    """Answers of the orders that are under way; a token is known for the length of its order only."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], bytes] = {}

    def answer(self, host: str, token: str) -> bytes | None:
        """The body for a token, `text/plain` or `application/octet-stream`; None: 404.

        Args:
            host: of the request, with or without a port.
            token: what follows `PATH`.
        """
        name, colon, port = host.rpartition(":")
        if colon and port.isdecimal():
            host = name
        return self._answers.get((host.lower().removesuffix("."), token))

    @contextmanager
    def showing(self, host: str, token: str, value: str) -> Iterator[None]:
        """Answer for the length of the block."""
        self._answers[host, token] = value.encode("ascii")
        try:
            yield
        finally:
            del self._answers[host, token]
