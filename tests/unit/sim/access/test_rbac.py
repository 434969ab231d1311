import pytest

from pipeops.sim.access.rbac import Attributes, refusal, rule_allows
from pipeops.sim.access.users import User, service_account_user
from pipeops.sim.errors import ApiError
from tests.unit.sim.conftest import World

VIEWER = User("ann", ("pipeops:viewers", "system:authenticated"))
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, True),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, True),
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}, False),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}, False),
        (
            {
                "verbs": ["get"],
                "apiGroups": [""],
                "resources": ["pods"],
                "resourceNames": ["other"],
            },
            False,
        ),
    ],
)
def test_a_rule_covers_verb_group_resource_and_name(rule: dict, allowed: bool) -> None:
    assert rule_allows(rule, Attributes("get", resource="pods", name="p")) is allowed


def test_a_resource_rule_does_not_cover_its_subresources() -> None:
    rule = {"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}
    wanted = Attributes("create", resource="pods", subresource="exec")
    assert not rule_allows(rule, wanted)
    assert rule_allows({**rule, "resources": ["*/exec"]}, wanted)


def test_paths_end_with_a_star() -> None:
    rule = {"verbs": ["get"], "nonResourceURLs": ["/openapi/*"]}
    assert rule_allows(rule, Attributes("get", path="/openapi/v3"))
    assert not rule_allows(rule, Attributes("get", path="/metrics"))


def test_viewers_see_pods_but_no_secrets(world: World) -> None:
    authorizer = world.cluster.authorizer
    assert authorizer.allows(VIEWER, Attributes("list", resource="pods", namespace="x"))
    assert authorizer.allows(VIEWER, Attributes("list", resource="secrets")) is None


def test_a_role_binding_holds_in_its_namespace_only_and_at_once(world: World) -> None:
    robot = service_account_user("default", "robot")
    wanted = Attributes("list", resource="secrets", namespace="default")
    assert world.cluster.authorizer.allows(robot, wanted) is None
    world.put(
        {
            "apiVersion": RBAC,
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot"}],
        }
    )
    reason = world.cluster.authorizer.allows(robot, wanted)
    assert reason is not None
    assert 'RoleBinding "b/default" of ClusterRole "edit"' in reason
    elsewhere = Attributes("list", resource="secrets", namespace="other")
    assert world.cluster.authorizer.allows(robot, elsewhere) is None


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Attributes("get", path="/metrics"), 'cannot get path "/metrics"'),
        (
            Attributes("list", "apps", "deployments"),
            'cannot list resource "deployments" in API group "apps" at the cluster scope',
        ),
        (
            Attributes("create", "", "pods", "exec", "ns", "p"),
            'User "ann" cannot create resource "pods/exec" in API group "" in the namespace "ns"',
        ),
    ],
)
def test_refusals_use_the_servers_words(wanted: Attributes, text: str) -> None:
    assert text in str(refusal(VIEWER, wanted))


def test_require_raises_the_refusal(world: World) -> None:
    with pytest.raises(ApiError) as caught:
        world.cluster.authorizer.require(VIEWER, Attributes("delete", resource="nodes"))
    assert caught.value.code == 403
