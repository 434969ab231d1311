"""Names: which cluster names, users and groups are acceptable."""

import difflib
import re
from collections.abc import Iterable

MAX_NAME = 63
MAX_IDENTITY = 256

RESERVED = frozenset({"agent"})
"""Names that would hide other routes: agents use /api/v1/clusters/agent/…."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def check_cluster_name(name: str) -> str:
    """Return the name if it is a DNS label (RFC 1123) and free to use.

    Raises:
        ValueError: It is not; the message says why.
    """
    if len(name) > MAX_NAME:
        raise ValueError(f"a cluster name has at most {MAX_NAME} characters")
    if _LABEL.fullmatch(name) is None:
        raise ValueError(
            "a cluster name consists of lower-case letters, digits and '-', "
            "and starts and ends with a letter or digit"
        )
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is reserved")
    return name


def check_identity(name: str) -> str:
    """Return a user or group name if it can travel in a header unchanged.

    Raises:
        ValueError: It is empty, too long, or has control characters or outer spaces.
    """
    if not name or len(name.encode()) > MAX_IDENTITY:
        raise ValueError(f"a user or group name has 1 to {MAX_IDENTITY} bytes")
    if not name.isprintable() or name != name.strip():
        raise ValueError("a user or group name has no control characters and no outer spaces")
    return name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the closest known name, or how to list them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else "list the clusters to see their names"
