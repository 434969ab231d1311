"""Whom the agent is willing to impersonate, whatever RBAC would allow it (design: "The cluster has the last word")."""

import re
from dataclasses import dataclass

from pipeops.protocol.exchange.principal import Principal

MAX_GROUPS = 256
MAX_NAME_BYTES = 1024

_EXTRA_KEY = re.compile(r"[a-z0-9][a-z0-9._/-]{0,252}")
_SYSTEM = "system:"
# Groups that the API server gives to everybody who is authenticated; naming them adds nothing.
_IMPLIED = frozenset(("system:authenticated",))


class IdentityRefused(Exception):
    """The agent does not run requests as this user."""


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """Decides about principals.

    Attributes:
        allow_system: also impersonate `system:` users and groups; only `pipeops up` on one's own machine asks for it.
    """

    allow_system: bool = False

    def check(self, principal: Principal) -> None:
        """Accept a principal or say why not.

        Raises:
            IdentityRefused: with a sentence for the user.
        """
        names = (principal.user, *principal.groups)
        if len(principal.groups) > MAX_GROUPS:
            raise IdentityRefused(f"more than {MAX_GROUPS} groups")
        for name in names:
            _check_text(name)
            if name.startswith(_SYSTEM) and not self.allow_system and name not in _IMPLIED:
                raise IdentityRefused(
                    f"the agent never impersonates {name!r}: names starting with 'system:' are refused in the cluster"
                )
        for key, value in principal.extra:
            if _EXTRA_KEY.fullmatch(key) is None:
                raise IdentityRefused("malformed extra key")
            _check_text(value)

    def headers(self, principal: Principal) -> bytes:
        """Impersonation header lines of a principal that `check` accepted.

        Kubernetes authentication, "User impersonation": extra keys are percent-encoded where HTTP needs it.
        """
        lines = [b"Impersonate-User: %b\r\n" % principal.user.encode()]
        lines += [
            b"Impersonate-Group: %b\r\n" % group.encode()
            for group in principal.groups
            if group not in _IMPLIED
        ]
        lines += [
            b"Impersonate-Extra-%b: %b\r\n" % (key.replace("/", "%2f").encode(), value.encode())
            for key, value in principal.extra
        ]
        return b"".join(lines)


def _check_text(text: str) -> None:
    if (
        not text
        or len(text.encode()) > MAX_NAME_BYTES
        or not text.isprintable()
        or text != text.strip()
    ):
        raise IdentityRefused("a user, group or extra value is empty, too long or not printable")
