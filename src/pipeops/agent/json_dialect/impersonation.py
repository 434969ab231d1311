"""Whom a control plane may name in the PipeOps dialect: the same rule as for native streams."""

from urllib.parse import unquote

from pipeops.agent.proxy.identity import IdentityRefused, IdentityRule
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.headers import Headers

_PREFIX = b"impersonate-"
_EXTRA = b"impersonate-extra-"


def check_impersonation(headers: Headers, rule: IdentityRule) -> Principal | None:
    """Accept the Impersonate-* headers of a request and return whom they name, or say why not.

    Without any there is nothing to check and the user is not known: None.

    Raises:
        IdentityRefused: with a sentence for the user.
    """
    user: str | None = None
    groups: list[str] = []
    extra: list[tuple[str, str]] = []
    found = False
    for name, value in headers:
        lower = name.lower().replace(b"_", b"-")
        if not lower.startswith(_PREFIX):
            continue
        found = True
        text = value.decode("utf-8", "replace")
        if lower == b"impersonate-user":
            if user is not None:  # the API server reads the first, others may read the last
                raise IdentityRefused("Impersonate-User is given twice")
            user = text
        elif lower == b"impersonate-group":
            groups.append(text)
        elif lower.startswith(_EXTRA):
            extra.append((unquote(lower[len(_EXTRA) :].decode("latin-1")).lower(), text))
    if not found:
        return None
    if user is None:
        raise IdentityRefused("impersonation headers without Impersonate-User")
    principal = Principal(user, tuple(groups), tuple(extra))
    rule.check(principal)
    return principal
