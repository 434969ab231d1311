import pytest

from pipeops.sim.access.tokens import issue_token
from pipeops.sim.errors import ApiError
from tests.unit.sim.conftest import World


def account(world: World) -> dict:
    found = world.get("", "serviceaccounts", "default", "default")
    assert found is not None
    return found


def issue(world: World, **spec: object) -> dict:
    return issue_token(
        world.cluster.authenticator,
        account(world),
        {"spec": spec},
        manager="test",
        now=world.clock.now(),
    )


def test_a_token_names_its_account_until_it_expires(world: World) -> None:
    token = issue(world, expirationSeconds=600)["status"]["token"]
    user = world.cluster.authenticator.user_of_token(token)
    assert user.name == "system:serviceaccount:default:default"
    world.clock.time += 601
    with pytest.raises(ApiError) as caught:
        world.cluster.authenticator.user_of_token(token)
    assert caught.value.code == 401


def test_a_token_dies_with_its_account(world: World) -> None:
    token = issue(world)["status"]["token"]
    world.cluster.deleter.delete(world.resource("v1", "ServiceAccount"), account(world))
    world.controllers.settle()  # makes a new account of the same name
    with pytest.raises(ApiError):
        world.cluster.authenticator.user_of_token(token)


@pytest.mark.parametrize("seconds", [5, 1 << 40])
def test_lifetimes_have_limits(world: World, seconds: int) -> None:
    with pytest.raises(ApiError) as caught:
        issue(world, expirationSeconds=seconds)
    assert caught.value.code == 422
