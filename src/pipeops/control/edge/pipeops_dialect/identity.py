"""Strip, then set: the headers with which the control plane itself impersonates a user (design §2, "Identity")."""

import re
from urllib.parse import quote

from pipeops.http1.head import HeaderBlock
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.headers import Headers, sanitise_request
from pipeops.runtime.secrets import Secret

MAX_GROUPS = 256
MAX_NAME_BYTES = 1024

_SYSTEM = "system:"
# The API server gives it to everybody who is authenticated; naming it adds nothing.
_IMPLIED = frozenset(("system:authenticated",))
_EXTRA_KEY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,252}")
# On Kubernetes requests these make a Go agent go astray or give up (reference protocol §9.1, item 3).
_NEVER = frozenset((b"host", b"content-length", b"expect", b"audit-id"))


class UserRefused(Exception):
    """A user as whom no request is made in a cluster; the text is for that user."""


def request_headers(block: HeaderBlock, principal: Principal, credential: Secret[str]) -> Headers:
    """What may cross of the client's headers, then who is asking, with whose credential."""
    headers = [
        (name, value)
        for name, value in sanitise_request(list(block.fields))
        if name not in _NEVER and not name.startswith(b"sec-websocket-")
    ]
    headers += identity_headers(principal, credential)
    return headers


def identity_headers(principal: Principal, credential: Secret[str]) -> Headers:
    """Whose credential, and who is asking; the principal has been checked."""
    headers = [
        (b"Authorization", b"Bearer " + credential.reveal().encode()),
        (b"Impersonate-User", principal.user.encode()),
    ]
    headers += [
        (b"Impersonate-Group", group.encode())
        for group in principal.groups
        if group not in _IMPLIED
    ]
    headers += [
        (f"Impersonate-Extra-{quote(key, safe='._-')}".encode(), value.encode())
        for key, value in principal.extra
    ]
    return headers


def check_principal(principal: Principal) -> None:
    """Refuse whom our own agent refuses: here nobody behind us would.

    Raises:
        UserRefused: with a sentence for the user.
    """
    if len(principal.groups) > MAX_GROUPS:
        raise UserRefused(f"more than {MAX_GROUPS} groups")
    for name in (principal.user, *principal.groups):
        _check_text(name)
        if name.lower().startswith(_SYSTEM) and name not in _IMPLIED:
            raise UserRefused(
                f"nobody is impersonated as {name!r}: names starting with 'system:' are the cluster's own"
            )
    for key, value in principal.extra:
        if _EXTRA_KEY.fullmatch(key) is None:
            raise UserRefused("malformed extra key")
        _check_text(value)


def _check_text(text: str) -> None:
    if (
        not text
        or len(text.encode()) > MAX_NAME_BYTES
        or not text.isprintable()
        or text != text.strip()
    ):
        raise UserRefused("a user, group or extra value is empty, too long or not printable")
