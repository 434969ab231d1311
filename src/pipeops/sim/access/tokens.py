"""TokenRequest: short-lived tokens of a ServiceAccount."""

from uuid import uuid4

from pipeops.sim.access.users import ISSUER, Authenticator
from pipeops.sim.errors import invalid
from pipeops.sim.managed import Actor, record_update
from pipeops.sim.objects import JsonObject, name_of, namespace_of, timestamp, uid_of
from pipeops.sim.schema.model import definitions

GROUP = "authentication.k8s.io"
MIN_SECONDS = 600
DEFAULT_SECONDS = 3600
MAX_SECONDS = 1 << 32


def issue_token(
    authenticator: Authenticator,
    account: JsonObject,
    body: JsonObject,
    *,
    manager: str,
    now: float,
) -> JsonObject:
    """The TokenRequest with its token and expiry; 422 for a lifetime that is not allowed."""
    spec = dict(body.get("spec") or {})
    seconds = spec.get("expirationSeconds") or DEFAULT_SECONDS
    where = "spec.expirationSeconds"
    if seconds < MIN_SECONDS:
        text = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
        raise invalid(GROUP, "TokenRequest", "", [("FieldValueInvalid", where, text)])
    if seconds > MAX_SECONDS:
        text = f"Too long: may not be more than {MAX_SECONDS} bytes"
        raise invalid(GROUP, "TokenRequest", "", [("FieldValueTooLong", where, text)])
    audiences = spec.get("audiences") or [authenticator.audience]
    issued, name, namespace = int(now), name_of(account), namespace_of(account)
    claims = {
        "aud": audiences,
        "exp": issued + seconds,
        "iat": issued,
        "iss": ISSUER,
        "jti": str(uuid4()),
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": uid_of(account)},
        },
        "nbf": issued,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }
    head = {
        "name": name,
        "namespace": namespace,
        "uid": uid_of(account),
        "creationTimestamp": timestamp(now),
    }
    given = {"metadata": head, "spec": dict(spec)}
    definition = definitions()["authentication.v1.TokenRequest"]
    record_update(None, given, definition, Actor(manager, f"{GROUP}/v1", "token"), now)
    spec |= {"audiences": audiences, "expirationSeconds": seconds}
    spec.setdefault("boundObjectRef", None)
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{GROUP}/v1",
        "metadata": head,
        "spec": spec,
        "status": {
            "token": authenticator.issuer.issue(claims),
            "expirationTimestamp": timestamp(issued + seconds),
        },
    }
