"""Watches through Go agents, which cut every request after 30 s: ask the API server to end them before."""

import re

MAX_WATCH_SECONDS = 25  # reference protocol §4.6, §9.1 item 7
_TIMEOUT = re.compile(rb"(^|[?&])timeoutSeconds=([^&]*)")


def cap_watch(target: bytes, *, seconds: int = MAX_WATCH_SECONDS) -> bytes:
    """The target of a watch with `timeoutSeconds` of at most `seconds`; clients watch again by themselves."""
    found = _TIMEOUT.search(target)
    if found is None:
        separator = b"&" if b"?" in target else b"?"
        return target + separator + b"timeoutSeconds=%d" % seconds
    value = found[2]
    if value.isdigit() and len(value) < 9 and 0 < int(value) <= seconds:
        return target
    rest = _TIMEOUT.sub(rb"\1", target[found.end() :])
    return target[: found.start()] + found[1] + b"timeoutSeconds=%d" % seconds + rest
