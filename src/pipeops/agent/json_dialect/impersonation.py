"""Whom a control plane may name in the PipeOps dialect: the same rule as for native streams."""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.headers import Header, Headers

_PREFIX = b"impersonate-"
_EXTRA = b"impersonate-extra-"
MAX_REMEMBERED = 256  # users
MAX_LENGTH = 2048  # bytes of what is remembered of one


def check_impersonation(headers: Headers, rule: IdentityRule) -> Principal | None:
    """Accept the Impersonate-* headers of a request and return whom they name, or say why not.

    Without any there is nothing to check and the user is not known: None.

    Raises:
        IdentityRefused: with a sentence for the user.
    """
    named = tuple([header for header in headers if _plain(header[0]).startswith(_PREFIX)])
    if not named:
        return None
    short = sum([len(name) + len(value) for name, value in named]) <= MAX_LENGTH
    return (_remembered if short else _principal)(named, rule)


def check_values(
    names: tuple[bytes, ...], values: tuple[str, ...], rule: IdentityRule
) -> Principal | None:
    """The same for names and values apart, for who has them so. Raises `IdentityRefused`."""
    if not names:
        return None
    short = sum(map(len, names)) + sum(map(len, values)) <= MAX_LENGTH
    return (_remembered_values if short else _check_values)(names, values, rule)


def _check_values(
    names: tuple[bytes, ...], values: tuple[str, ...], rule: IdentityRule
) -> Principal:
    encoded = [value.encode() for value in values]
    return _principal(tuple(zip(names, encoded, strict=True)), rule)


_remembered_values = lru_cache(maxsize=MAX_REMEMBERED)(_check_values)


def _plain(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def _principal(named: Sequence[Header], rule: IdentityRule) -> Principal:
    user: str | None = None
    groups: list[str] = []
    extra: list[tuple[str, str]] = []
    for name, value in named:
        lower = _plain(name)
        text = value.decode("utf-8", "replace")
        if lower == b"impersonate-user":
            if user is not None:  # the API server reads the first, others may read the last
                raise IdentityRefused("Impersonate-User is given twice")
            user = text
        elif lower == b"impersonate-group":
            groups.append(text)
        elif lower.startswith(_EXTRA):
            extra.append((unquote(lower[len(_EXTRA) :].decode("latin-1")).lower(), text))
    if user is None:
        raise IdentityRefused("impersonation headers without Impersonate-User")
    principal = Principal(user, tuple(groups), tuple(extra))
    rule.check(principal)
    return principal


_remembered = lru_cache(maxsize=MAX_REMEMBERED)(_principal)
