import pytest

from pipeops.sim.access.impersonation import impersonate
from pipeops.sim.access.users import User, service_account_user
from pipeops.sim.cluster import ADMIN
from pipeops.sim.errors import ApiError
from tests.unit.sim.conftest import World, request

AGENT = service_account_user("pipeops-system", "pipeops-agent")


def act(world: World, user: User, **headers: str) -> User:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return impersonate(request("GET", "/", headers=sent), user, world.cluster.authorizer)


def test_without_headers_everybody_stays_who_they_are(world: World) -> None:
    assert act(world, ADMIN) is ADMIN


def test_the_agent_may_be_people_of_its_groups_with_a_request_id(world: World) -> None:
    found = act(
        world,
        AGENT,
        impersonate_user="ann@example.org",
        impersonate_group="pipeops:viewers",
        **{"impersonate-extra-pipeops.io%2frequest-id": "r1"},
    )
    assert found.name == "ann@example.org"
    assert found.groups == ("pipeops:viewers", "system:authenticated")
    assert found.extra == {"pipeops.io/request-id": ("r1",)}


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (
            {"impersonate_user": "ann", "impersonate_group": "system:masters"},
            'groups "system:masters" is forbidden',
        ),
        (
            {"impersonate_user": "system:serviceaccount:kube-system:robot"},
            'serviceaccounts "robot" is forbidden',
        ),
        ({"impersonate_user": "ann", "impersonate_uid": "u"}, 'uids.authentication.k8s.io "u"'),
        ({"impersonate_user": "ann", "impersonate_extra_scopes": "all"}, '"all" is forbidden'),
    ],
)
def test_the_agent_may_be_nobody_else(world: World, headers: dict[str, str], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        act(world, AGENT, **headers)
    assert caught.value.code == 403
    assert text in str(caught.value)


def test_a_service_account_comes_with_its_groups(world: World) -> None:
    found = act(world, ADMIN, impersonate_user="system:serviceaccount:a:b")
    assert "system:serviceaccounts:a" in found.groups


def test_groups_without_a_user_are_refused(world: World) -> None:
    with pytest.raises(ApiError, match="without impersonating a user name") as caught:
        act(world, ADMIN, impersonate_group="g")
    assert caught.value.code == 400
