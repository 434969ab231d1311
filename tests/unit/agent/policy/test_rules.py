"""Which rule decides, and that what a rule cannot know counts against the request."""

import pytest

from pipeops.agent.policy.document import parse
from pipeops.agent.policy.request import read
from pipeops.agent.policy.rules import Patterns, User

ANN = User("ann", ("dev",))
UNKNOWN = User(known=False)


def decide(policy, method, target, user=ANN):
    decision = parse({"version": 1, **policy}, "test").decide(
        read(method.encode(), target.encode()), user
    )
    return decision.allowed, decision.rule


POD = "/api/v1/namespaces/a/pods/p"
READ_ONLY = {"readOnly": True}


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("GET", POD, True),
        ("GET", f"{POD}/log", True),
        ("GET", "/api/v1/pods?watch=1", True),
        ("GET", "/version", True),
        ("GET", "/openapi/v3/apis/apps/v1", True),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", True),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", False),
        ("POST", "/apis/evil.io/v1/selfsubjectaccessreviews", False),
        ("GET", f"{POD}/exec?command=sh", False),
        ("POST", f"{POD}/exec", False),
        ("GET", f"{POD}/portforward", False),
        ("GET", "/api/v1/nodes/n/proxy/run", False),
        ("GET", "/apis/kubevirt.io/v1/namespaces/a/vmis/v/console", False),
        ("POST", "/api/v1/namespaces/a/pods?dryRun=All", False),
        ("DELETE", "/api/v1/namespaces/a/pods", False),
        ("PATCH", f"{POD}/ephemeralcontainers", False),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/x/token", False),
        ("GET", "/logs/kube-apiserver.log", False),
        ("GET", "/debug/pprof/heap", False),
        ("POST", "/api", False),
    ],
)
def test_read_only_goes_by_what_is_done_not_by_the_method(method, target, allowed):
    assert decide(READ_ONLY, method, target) == (allowed, "" if allowed else "readOnly")


@pytest.mark.parametrize(
    ("method", "target", "rule"),
    [
        ("GET", f"{POD}/exec", "exec"),
        ("POST", f"{POD}/attach", "exec"),
        ("GET", "/api/v1/nodes/n/proxy/x", "exec"),
        ("PATCH", f"{POD}/ephemeralcontainers", "exec"),
        ("GET", f"{POD}/portforward", "portForward"),
        ("GET", "/api/v1/namespaces/a/services/s/proxy/", "portForward"),
        ("DELETE", POD, ""),
    ],
)
def test_exec_and_port_forward_can_be_off(method, target, rule):
    assert decide({"exec": False, "portForward": False}, method, target)[1] == rule


NO_SECRETS = {"deny": [{"name": "no-secrets", "resources": ["secrets"]}]}


def test_deny_covers_subresources_and_every_group():
    assert decide(NO_SECRETS, "GET", "/api/v1/secrets") == (False, "no-secrets")
    assert decide(NO_SECRETS, "GET", "/apis/other.io/v1/namespaces/a/secrets/x/status")[0] is False
    assert decide(NO_SECRETS, "GET", "/api/v1/configmaps") == (True, "")


KUBE_SYSTEM = {"deny": [{"name": "system", "namespaces": ["kube-*"], "verbs": ["read"]}]}


def test_a_list_over_all_namespaces_would_show_the_denied_one():
    assert decide(KUBE_SYSTEM, "GET", "/api/v1/namespaces/kube-system/pods")[0] is False
    assert decide(KUBE_SYSTEM, "GET", "/api/v1/pods")[0] is False
    assert decide(KUBE_SYSTEM, "GET", "/api/v1/namespaces/a/pods")[0] is True
    assert decide(KUBE_SYSTEM, "GET", "/api/v1/namespaces")[0] is True
    assert decide(KUBE_SYSTEM, "GET", "/api/v1/namespaces/kube-system")[0] is False
    assert decide(KUBE_SYSTEM, "DELETE", "/api/v1/namespaces/kube-system/pods/p")[0] is True


def test_a_name_in_the_body_counts_against_the_request():
    policy = {"deny": [{"name": "n", "resources": ["configmaps"], "names": ["crown"]}]}
    path = "/api/v1/namespaces/a/configmaps"
    assert decide(policy, "GET", f"{path}/crown")[0] is False
    assert decide(policy, "GET", f"{path}/other")[0] is True
    assert decide(policy, "GET", path)[0] is False
    assert decide(policy, "POST", path)[0] is False
    allow = {"allow": policy["deny"]}
    assert decide(allow, "GET", f"{path}/crown") == (True, "n")
    assert decide(allow, "GET", path) == (False, "allow")


TEAM = {
    "allow": [
        {
            "name": "team-a",
            "groups": ["dev"],
            "namespaces": ["a", "a-*"],
            "resources": ["pods", "pods/log", "deployments.apps", "events.core"],
            "verbs": ["read"],
        },
        {"name": "health", "paths": ["/custom/*"]},
    ]
}


@pytest.mark.parametrize(
    ("target", "user", "rule"),
    [
        (POD, ANN, "team-a"),
        (f"{POD}/log", ANN, "team-a"),
        ("/apis/apps/v1/namespaces/a-1/deployments", ANN, "team-a"),
        ("/apis/extensions/v1/namespaces/a/deployments", ANN, "allow"),
        ("/api/v1/namespaces/a/events", ANN, "team-a"),
        ("/apis/events.k8s.io/v1/namespaces/a/events", ANN, "allow"),
        ("/apis/apps/v1/namespaces/a/deployments/d/scale", ANN, "allow"),
        (f"{POD}/exec", ANN, "allow"),
        ("/api/v1/namespaces/b/pods", ANN, "allow"),
        ("/api/v1/pods", ANN, "allow"),
        (POD, User("bob", ("ops",)), "allow"),
        (POD, UNKNOWN, "allow"),
        ("/version", UNKNOWN, "discovery"),
        ("/apis/apps/v1", ANN, "discovery"),
        ("/custom/x", ANN, "health"),
        ("/logs/x", ANN, "allow"),
    ],
)
def test_an_allow_list_allows_what_it_names_and_discovery(target, user, rule):
    assert decide(TEAM, "GET", target, user) == (rule != "allow", rule)


def test_everything_of_a_resource_is_asked_for_with_a_star():
    assert decide({"allow": [{"resources": ["pods/*"]}]}, "GET", f"{POD}/exec")[0] is True
    assert decide({"allow": [{"resources": ["pods/*"]}]}, "GET", POD)[0] is False
    assert decide({"allow": [{"resources": ["*"]}]}, "GET", f"{POD}/exec")[0] is True
    assert decide({"allow": [{"resources": ["*"], "verbs": ["read"]}]}, "GET", f"{POD}/exec")[0] is False  # fmt: skip
    assert decide({"allow": []}, "GET", POD) == (False, "allow")


def test_deny_wins_and_an_unknown_user_may_be_the_denied_one():
    policy = {"deny": [{"name": "d", "users": ["eve"]}], "allow": [{"resources": ["*"]}]}
    assert decide(policy, "GET", POD, User("eve")) == (False, "d")
    assert decide(policy, "GET", POD, ANN)[0] is True
    assert decide(policy, "GET", POD, UNKNOWN) == (False, "d")
    assert decide({"deny": [{"paths": ["/version"]}]}, "GET", "/version")[0] is False


def test_services():
    policy = parse({"version": 1, "services": ["a/web:80", "b/*:*"]}, "test")
    assert policy.decide_service("a", "web", 80).allowed
    assert policy.decide_service("b", "db", 5432).allowed
    assert not policy.decide_service("a", "web", 81).allowed
    assert not policy.decide_service("", "web", 80).allowed
    assert not parse({"version": 1, "services": []}, "t").decide_service("a", "web", 80).allowed
    assert parse({"version": 1}, "t").decide_service("a", "web", 80).allowed


def test_a_star_is_the_only_special_character():
    assert Patterns(["a.b"]).match("a.b")
    assert not Patterns(["a.b"]).match("axb")
    assert not Patterns(["a"]).match("ab")
    assert Patterns(["a*c"]).match("a\nc")
    assert not Patterns(()).restricts
