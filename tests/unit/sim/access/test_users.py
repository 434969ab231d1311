import base64

import pytest

from pipeops.sim.access.users import ANONYMOUS, User, service_account_user
from pipeops.sim.errors import ApiError
from tests.unit.sim.conftest import World, request


def user_of(world: World, **headers: str) -> User:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.cluster.authenticator.authenticate(request("GET", "/", headers=sent, token=""))


def test_no_credential_is_anonymous(world: World) -> None:
    assert user_of(world) == ANONYMOUS


def test_a_wrong_token_is_refused_and_never_anonymous(world: World) -> None:
    for value in ("Bearer nonsense", "Bearer a.b.c", "Basic abc"):
        with pytest.raises(ApiError) as caught:
            user_of(world, authorization=value)
        assert caught.value.code == 401


def test_browsers_bring_their_token_as_a_subprotocol(world: World) -> None:
    text = base64.urlsafe_b64encode(b"admin-token").decode().rstrip("=")
    offered = f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{text}"
    assert user_of(world, sec_websocket_protocol=offered).name == "kubernetes-admin"


def test_a_certificate_names_user_and_groups(world: World) -> None:
    asked = request("GET", "/", token="")
    asked.peer_certificate = {
        "subject": ((("organizationName", "devs"),), (("commonName", "ann"),))
    }
    found = world.cluster.authenticator.authenticate(asked)
    assert (found.name, found.groups) == ("ann", ("devs", "system:authenticated"))


def test_user_info_leaves_out_what_is_empty() -> None:
    assert User("ann").to_json() == {"username": "ann"}
    full = User("ann", ("g",), "u", {"k": ("v",)}).to_json()
    assert full == {"username": "ann", "uid": "u", "groups": ["g"], "extra": {"k": ["v"]}}


def test_service_accounts_have_their_groups() -> None:
    assert "system:serviceaccounts:a" in service_account_user("a", "b").groups
