"""Authentication: bearer tokens, client certificates, ServiceAccount tokens, anonymous."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeops.sim.clock import Clock
from pipeops.sim.errors import unauthorized
from pipeops.sim.http import Request
from pipeops.sim.objects import JsonObject

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class User:
    """A request's identity, as `SelfSubjectReview` shows it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """`authentication.k8s.io/v1` UserInfo."""
        found: JsonObject = {"username": self.name}
        if self.uid:
            found["uid"] = self.uid
        if self.groups:
            found["groups"] = list(self.groups)
        if self.extra:
            found["extra"] = {key: list(values) for key, values in self.extra.items()}
        return found


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


def service_account_user(namespace: str, name: str, uid: str = "") -> User:
    """The user that a ServiceAccount's token stands for."""
    groups = (
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        AUTHENTICATED,
    )
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


def _segment(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


class TokenIssuer:
    """Signs and checks ServiceAccount tokens (JWT, HS256: nobody but us verifies them)."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def issue(self, claims: JsonObject) -> str:
        """A compact JWT."""
        head = _segment(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _segment(json.dumps(claims, separators=(",", ":")).encode())
        return f"{head}.{body}.{self._signature(f'{head}.{body}')}"

    def claims(self, token: str) -> JsonObject | None:
        """The claims of a valid, unexpired token of ours; None for anything else."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(signed)):
            return None
        body = signed.partition(".")[2]
        padded = body + "=" * (-len(body) % 4)
        found: JsonObject = json.loads(base64.urlsafe_b64decode(padded))
        return found if found.get("exp", 0) > self._clock.now() else None

    def _signature(self, signed: str) -> str:
        return _segment(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


AccountUid = Callable[[str, str], str | None]
"""(namespace, name) to the uid of an existing ServiceAccount."""


class Authenticator:
    """Names the user of a request, or raises 401."""

    def __init__(
        self, tokens: Mapping[str, User], issuer: TokenIssuer, account_uid: AccountUid
    ) -> None:
        self.tokens = dict(tokens)
        self.issuer = issuer
        self.audience = ISSUER
        self._account_uid = account_uid

    def authenticate(self, request: Request) -> User:
        """Token first, then client certificate, then anonymous. A wrong token is 401."""
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return self.user_of_token(token.strip())
        if not scheme:
            token = _websocket_token(request)
            if token:
                return self.user_of_token(token)
        if request.peer_certificate:
            return _certificate_user(request.peer_certificate)
        if scheme:
            raise unauthorized()
        return ANONYMOUS

    def user_of_token(self, token: str) -> User:
        """The user of a bearer token; 401 when it is unknown, expired or orphaned."""
        known = self.tokens.get(token)
        if known is not None:
            return known
        claims = self.issuer.claims(token) if token.count(".") == 2 else None
        if claims is None:
            raise unauthorized()
        bound = claims.get("kubernetes.io") or {}
        account = bound.get("serviceaccount") or {}
        namespace, name = str(bound.get("namespace")), str(account.get("name"))
        uid = str(account.get("uid"))
        if self._account_uid(namespace, name) != uid:
            raise unauthorized()
        user = service_account_user(namespace, name, uid)
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.get('jti')}",)}
        return User(user.name, user.groups, user.uid, extra)


def _websocket_token(request: Request) -> str:
    # Browsers cannot set headers on a WebSocket: the token may travel as a subprotocol.
    prefix = "base64url.bearer.authorization.k8s.io."
    for value in request.header_values("sec-websocket-protocol"):
        for item in value.split(","):
            if item.strip().startswith(prefix):
                text = item.strip().removeprefix(prefix)
                try:
                    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
                except ValueError:
                    return ""
    return ""


def _certificate_user(certificate: Mapping[str, Any]) -> User:
    fields = [pair for part in certificate.get("subject", ()) for pair in part]
    name = next((value for key, value in fields if key == "commonName"), "")
    groups = tuple(value for key, value in fields if key == "organizationName")
    return User(name, (*groups, AUTHENTICATED))
