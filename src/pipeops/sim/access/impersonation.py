"""Impersonation headers: allowed identities act as somebody else, as on the real server."""

from urllib.parse import unquote

from pipeops.sim.access.rbac import Attributes, Authorizer
from pipeops.sim.access.users import AUTHENTICATED, UNAUTHENTICATED, User
from pipeops.sim.errors import bad_request
from pipeops.sim.http import Request

_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


def _account(name: str) -> tuple[str, str] | None:
    if not name.startswith(_ACCOUNT):
        return None
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if namespace and account and ":" not in account else None


def _nobody(groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]) -> str:
    listed = "[]string{" + ", ".join(f'"{group}"' for group in groups) + "}"
    shown = listed if groups else "[]string(nil)"
    more = "map[string][]string(nil)"
    if extra:
        parts = ", ".join(f'"{key}":[]string{{"{values[0]}"}}' for key, values in extra.items())
        more = "map[string][]string{" + parts + "}"
    return (
        f'requested &user.DefaultInfo{{Name:"", UID:"{uid}", Groups:{shown}, Extra:{more}}} '
        "without impersonating a user name"
    )


def requested(request: Request) -> User | None:
    """The identity that the request's Impersonate headers ask for, or None without any."""
    name = request.header("impersonate-user")
    groups = tuple(request.header_values("impersonate-group"))
    uid = request.header("impersonate-uid")
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in request.headers:
        if key.startswith(_EXTRA):
            field = unquote(key.removeprefix(_EXTRA)).lower()
            extra[field] = (*extra.get(field, ()), value)
    if not name:
        if groups or uid or extra:
            raise bad_request(_nobody(groups, uid, extra))
        return None
    return User(name, groups, uid, extra)


def impersonate(request: Request, user: User, authorizer: Authorizer) -> User:
    """The identity that the request acts as; 403 for whatever `user` may not take on."""
    wanted = requested(request)
    if wanted is None:
        return user
    groups = wanted.groups
    account = _account(wanted.name)
    if account:
        authorizer.require(
            user,
            Attributes(
                "impersonate", resource="serviceaccounts", namespace=account[0], name=account[1]
            ),
        )
        if not groups:
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    else:
        authorizer.require(user, Attributes("impersonate", resource="users", name=wanted.name))
    for group in wanted.groups:
        authorizer.require(user, Attributes("impersonate", resource="groups", name=group))
    api = "authentication.k8s.io"
    if wanted.uid:
        attributes = Attributes("impersonate", group=api, resource="uids", name=wanted.uid)
        authorizer.require(user, attributes)
    for key, values in wanted.extra.items():
        for value in values:
            authorizer.require(
                user,
                Attributes(
                    "impersonate", group=api, resource="userextras", subresource=key, name=value
                ),
            )
    implied = UNAUTHENTICATED if wanted.name == "system:anonymous" else AUTHENTICATED
    if implied not in groups:
        groups = (*groups, implied)
    return User(wanted.name, groups, wanted.uid, wanted.extra)
