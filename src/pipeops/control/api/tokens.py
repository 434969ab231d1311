"""Routes for user tokens."""

from fastapi import FastAPI

from pipeops.control.api.access import Caller, Services
from pipeops.control.api.bodies import (
    IssuedUserToken,
    NewUserToken,
    UserTokenBody,
    UserTokenListBody,
)
from pipeops.control.api.names import did_you_mean
from pipeops.control.api.problems import Problem
from pipeops.control.auth.tokens import TokenKind, digest, new_token, shown_prefix
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)


async def list_tokens(services: Services) -> UserTokenListBody:
    """List all user tokens, revoked ones too, without their secrets."""
    tokens = await services.store.user_tokens.list()
    return UserTokenListBody(items=[UserTokenBody.of(token) for token in tokens])


async def create_token(services: Services, caller: Caller, body: NewUserToken) -> IssuedUserToken:
    """Issue a user token, which is shown this once."""
    if body.clusters:
        known = await services.store.clusters.names()
        unknown = sorted(set(body.clusters) - set(known))
        if unknown:
            raise Problem(
                400,
                "Invalid",
                f"clusters: no cluster is named {unknown[0]!r}",
                hint=did_you_mean(unknown[0], known),
            )
    token = new_token(TokenKind.USER)
    record = await services.store.user_tokens.add(
        label=body.label,
        token_hash=digest(token.encode()),
        prefix=shown_prefix(token),
        user=body.user,
        groups=body.groups,
        role=body.role,
        clusters=body.clusters,
        expires_at=None if body.expires_in is None else services.wall() + body.expires_in,
    )
    by = caller.principal.user
    log.info("user token issued", by=by, id=record.id, user=body.user, role=body.role.value)
    return IssuedUserToken(metadata=UserTokenBody.of(record), token=token, warnings=_warnings(body))


async def revoke_token(services: Services, caller: Caller, token_id: str) -> None:
    """Revoke a user token and end the connections that use it."""
    await services.store.user_tokens.revoke(token_id)
    services.authenticator.revoke(token_id)
    log.info("user token revoked", by=caller.principal.user, id=token_id)


def install(app: FastAPI) -> None:
    """Add the routes; who may call them is in `access.ACCESS`."""
    app.add_api_route("/api/v1/tokens", list_tokens, methods=["GET"], tags=["tokens"])
    app.add_api_route(
        "/api/v1/tokens", create_token, methods=["POST"], status_code=201, tags=["tokens"]
    )
    app.add_api_route(
        "/api/v1/tokens/{token_id}",
        revoke_token,
        methods=["DELETE"],
        status_code=204,
        tags=["tokens"],
    )


def _warnings(body: NewUserToken) -> list[str]:
    return [
        f"agents refuse to impersonate {name!r} unless they run with --allow-system-identities"
        for name in (body.user, *body.groups)
        if name.startswith("system:")
    ]
