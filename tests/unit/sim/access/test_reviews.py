import pytest

from tests.unit.sim.conftest import World

AUTHN = "/apis/authentication.k8s.io/v1"
AUTHZ = "/apis/authorization.k8s.io/v1"
VIEWER = {"impersonate-user": "ann", "impersonate-group": "pipeops:viewers"}
ASK = {"verb": "list", "resource": "pods", "namespace": "default"}


async def test_whoami_names_the_impersonated_person(world: World) -> None:
    answer = await world("POST", f"{AUTHN}/selfsubjectreviews", {}, headers=VIEWER)
    info = answer.body["status"]["userInfo"]
    assert info["username"] == "ann"
    assert info["groups"] == ["pipeops:viewers", "system:authenticated"]


async def test_access_reviews_answer_for_oneself_and_for_others(world: World) -> None:
    path = f"{AUTHZ}/selfsubjectaccessreviews"
    own = await world("POST", path, {"spec": {"resourceAttributes": ASK}}, headers=VIEWER)
    assert own.body["status"]["allowed"] is True
    spec = {"resourceAttributes": ASK, "user": "bob", "groups": ["system:authenticated"]}
    other = await world("POST", f"{AUTHZ}/subjectaccessreviews", {"spec": spec})
    assert other.body["status"] == {"allowed": False}


@pytest.mark.parametrize(
    ("resource", "spec"),
    [
        ("selfsubjectaccessreviews", {}),
        ("subjectaccessreviews", {"resourceAttributes": ASK}),
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": ASK, "nonResourceAttributes": {"path": "/", "verb": "get"}},
        ),
    ],
)
async def test_reviews_that_ask_nothing_are_invalid(
    world: World, resource: str, spec: dict
) -> None:
    assert (await world("POST", f"{AUTHZ}/{resource}", {"spec": spec})).status == 422


async def test_rules_reviews_list_what_one_may(world: World) -> None:
    path = f"{AUTHZ}/selfsubjectrulesreviews"
    answer = await world("POST", path, {"spec": {"namespace": "default"}}, headers=VIEWER)
    rules = answer.body["status"]["resourceRules"]
    assert any("pods" in rule["resources"] for rule in rules)
    assert not any("secrets" in rule["resources"] for rule in rules)
    assert (await world("POST", path, {"spec": {}})).status == 400


async def test_a_token_review_tells_real_tokens_from_made_up_ones(world: World) -> None:
    path = f"{AUTHN}/tokenreviews"
    real = await world("POST", path, {"spec": {"token": "admin-token"}})
    assert real.body["status"]["authenticated"] is True
    wrong = await world("POST", path, {"spec": {"token": "nonsense"}})
    assert "authenticated" not in wrong.body["status"]
    assert (await world("POST", path, {"spec": {}})).status == 400
