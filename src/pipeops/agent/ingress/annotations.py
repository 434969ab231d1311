"""Which annotations leave the cluster, what they say about ownership, and which ones mean that a controller guards a route."""

from collections.abc import Mapping
from typing import Final

#: Reference gateway §1.9. `last-applied-configuration` is under none of them.
PREFIXES: Final = (
    "pipeops.io/",
    "traefik.ingress.kubernetes.io/",
    "nginx.ingress.kubernetes.io/",
    "cert-manager.io/",
    "kubernetes.io/ingress.class",
)
MAX_VALUE: Final = 1024  # bytes of one value
MAX_TOTAL: Final = 16 * 1024  # bytes of all names and values of one object

CLASS: Final = "kubernetes.io/ingress.class"
MANAGED_BY: Final = "pipeops.io/managed-by"

#: A controller that sees one of these asks for a credential or looks at the client's address before a request passes.
GUARDS: Final = (
    "nginx.ingress.kubernetes.io/auth-",
    "nginx.ingress.kubernetes.io/enable-global-auth",
    "nginx.ingress.kubernetes.io/whitelist-source-range",
    "nginx.ingress.kubernetes.io/allowlist-source-range",
    "nginx.ingress.kubernetes.io/denylist-source-range",
    "nginx.ingress.kubernetes.io/satisfy",
    "nginx.ingress.kubernetes.io/enable-modsecurity",
    "nginx.ingress.kubernetes.io/modsecurity-snippet",
    "nginx.ingress.kubernetes.io/configuration-snippet",
    "nginx.ingress.kubernetes.io/server-snippet",
    "traefik.ingress.kubernetes.io/router.middlewares",
    "traefik.ingress.kubernetes.io/router.tls.options",
    "haproxy.org/auth-",
    "haproxy.org/allow-list",
    "haproxy.org/whitelist",
    "haproxy-ingress.github.io/auth-",
    "haproxy-ingress.github.io/allowlist-source-range",
    "konghq.com/plugins",
    "projectcontour.io/tls-cert-namespace",
    "alb.ingress.kubernetes.io/auth-",
    "alb.ingress.kubernetes.io/inbound-cidrs",
    "ingress.kubernetes.io/auth-",
    "ingress.kubernetes.io/whitelist-source-range",
)
#: What says that there is no guard after all.
_NO_GUARD: Final = frozenset({"", "none", "false", "0.0.0.0/0"})


def kept(annotations: Mapping[str, str] | None) -> dict[str, str] | None:
    """What is worth holding of an object: what may be sent, and what guards it; None for nothing."""
    if not annotations:
        return None
    wanted = (*PREFIXES, *GUARDS)
    # The value of a guard is looked at, not sent: its beginning is enough.
    found = {
        name: value[: MAX_VALUE + 1]
        for name, value in annotations.items()
        if name.startswith(wanted) and len(name) <= MAX_VALUE
    }
    return found or None


def sendable(annotations: Mapping[str, str] | None) -> dict[str, str]:
    """The annotations of the allow-list, in order of their names until they are `MAX_TOTAL` bytes.

    Without snippets: they are configuration of a controller in the cluster, and nobody else's business.
    """
    found: dict[str, str] = {}
    total = 0
    for name, value in sorted((annotations or {}).items()):
        size = len(value.encode("utf-8", "replace"))
        if not name.startswith(PREFIXES) or size > MAX_VALUE or name.endswith("-snippet"):
            continue
        total += len(name) + size
        if total > MAX_TOTAL:
            break
        found[name] = value
    return found


def guard(annotations: Mapping[str, str] | None) -> str:
    """The annotation by which a controller would refuse some requests, or an empty string."""
    for name, value in (annotations or {}).items():
        if name.startswith(GUARDS) and value.strip().lower() not in _NO_GUARD:
            return name
    return ""


def deployment(annotations: Mapping[str, str], host: str) -> tuple[str, str]:
    """Id and name of the PipeOps deployment that a route belongs to (reference gateway §1.5)."""
    owner = annotations.get("pipeops.io/owner", "")
    environment = annotations.get("pipeops.io/environment", "")
    derived = f"{environment}:{owner}" if owner and environment else ""
    identity = annotations.get("pipeops.io/deployment-id", "") or derived
    label = host.removeprefix("*.").partition(".")[0]
    return identity, annotations.get("pipeops.io/deployment-name", "") or owner or label
