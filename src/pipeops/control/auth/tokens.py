"""Tokens: how they are made, recognised and hashed.

A token is ``pipeops_u_`` (user) or ``pipeops_c_`` (cluster) and 32 random bytes in URL-safe base64: 43 characters
without padding. The prefix lets secret scanners find leaked ones and lets us say "this is the other kind".

At rest there is only the SHA-256. It needs no salt and no slow hash, since 256 random bits cannot be guessed, and an
unsalted digest is an index key. Looking up by digest also needs no constant-time comparison: whoever measures how far
a lookup got learns about the digest of what they sent, not how to come closer to a stored one.
"""

import enum
import hashlib
import re
import secrets

PREFIX_LENGTH = 14
"""Characters of a token that may be shown: its kind and 24 of the 256 bits."""


class TokenKind(enum.Enum):
    """Whose token it is; the value is its prefix."""

    USER = "pipeops_u_"
    CLUSTER = "pipeops_c_"


_SHAPE = re.compile(rb"pipeops_[uc]_[A-Za-z0-9_-]{43}")


def new_token(kind: TokenKind) -> str:
    """Return a new random token."""
    return kind.value + secrets.token_urlsafe(32)


def digest(token: bytes) -> bytes:
    """Return what is stored and looked up: the SHA-256, 32 bytes."""
    return hashlib.sha256(token).digest()


def shown_prefix(token: str) -> str:
    """Return the part by which people recognise a token in a list."""
    return token[:PREFIX_LENGTH]


def kind_of(token: bytes) -> TokenKind | None:
    """Return the kind of a well-formed token, None for anything else."""
    if _SHAPE.fullmatch(token) is None:
        return None
    return TokenKind.USER if token[8:9] == b"u" else TokenKind.CLUSTER
