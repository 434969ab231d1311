"""Readings of a request path: what servers behind a gateway may take it for (threats.md S-20, S-23, S-27).

A gateway that matches one reading while the server acts on another lets a client out of the prefix it was given. So a
path goes on only if every reading of it leads to the same route; it is forwarded as it was received.
"""

import re
from itertools import product

MAX_AMBIGUOUS = 4096  # characters of a path that is to be read in every way; two dozen readings of it take a millisecond

# Without one of these a path has one reading.
_AMBIGUOUS = re.compile(r"[;\\]|//|/\.|%(?:2[fF5]|5[cC]|3[bB]|[cC][01]|[eE]0|[fF]0)")
_STRUCTURAL = re.compile(r"%(2[fF5eE]|5[cC]|3[bB])")  # escaped `/ % . \ ;`
_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NUL = re.compile(r"%00")
# Overlong UTF-8 of `.`, `/` and `\`, which old decoders accept (RFC 3629 section 10).
_OVERLONG = (
    (re.compile(r"%(?:c0%(?:ae|2e)|e0%80%ae|f0%80%80%ae)", re.IGNORECASE), "."),
    (re.compile(r"%(?:c0%(?:af|2f)|e0%80%af|f0%80%80%af)", re.IGNORECASE), "/"),
    (re.compile(r"%(?:c1%9c|c0%5c|e0%81%9c)", re.IGNORECASE), r"\\"),
)
_UNRESERVED = re.compile(r"%(2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")


_HOW = tuple(product((False, True), repeat=3))


class UnusablePath(ValueError):
    """No server can be trusted to read this path as we do; the text says why."""


def readings(path: str) -> tuple[str, ...]:
    """Return every path that a server may take this one for; the first is the plain one of RFC 3986.

    Args:
        path: begins with a slash; without the query.

    Raises:
        UnusablePath: it holds an escaped NUL or a broken escape, climbs out of its root, or has several readings and
            is longer than MAX_AMBIGUOUS.
    """
    # What `_AMBIGUOUS` looks for, less the escapes: five looks for a text cost an eighth of one for a pattern.
    if (
        "%" not in path
        and "//" not in path
        and "/." not in path
        and ";" not in path
        and "\\" not in path
    ):
        return (path,)
    if _NUL.search(path):
        raise UnusablePath("an escaped NUL")
    if _MALFORMED.search(path):
        raise UnusablePath("a percent sign that is no escape")
    plain = _UNRESERVED.sub(_unescape, path)
    if _AMBIGUOUS.search(plain) is None:
        return (plain,)
    if len(plain) > MAX_AMBIGUOUS:
        raise UnusablePath("a long path that servers may understand in different ways")
    once = _decoded(plain)
    found = [
        _read(form, how) for form in dict.fromkeys((plain, once, _decoded(once))) for how in _HOW
    ]
    return tuple(dict.fromkeys([*found, plain]))  # the last: no dots are resolved at all


def _read(path: str, how: tuple[bool, ...]) -> str:
    """One reading of a decoded path: backslashes as slashes, parameters dropped, doubled slashes merged."""
    backslashes, parameters, merge = how
    if backslashes:
        path = path.replace("\\", "/")
    if parameters:
        path = re.sub(r";[^/]*", "", path)
    if merge:
        path = re.sub(r"/{2,}", "/", path)
    return _without_dots(path)


def _decoded(path: str) -> str:
    for pattern, char in _OVERLONG:
        path = pattern.sub(char, path)
    return _STRUCTURAL.sub(_unescape, path)


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4, but a path that climbs above its root is refused: servers disagree about where it ends."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if not kept:
                raise UnusablePath("it climbs above its root")
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
