"""The guard asks the policy in force, remembers a bounded number of answers, and names the rule."""

import pytest

from pipeops.agent.policy import guard as module
from pipeops.agent.policy.document import parse
from pipeops.agent.policy.guard import PolicyGuard, PolicyRefused
from pipeops.agent.policy.rules import Policy, User
from pipeops.protocol.exchange.principal import Principal, encode_principal

ANN = encode_principal(Principal("ann", ("dev",)))
EXEC = b"/api/v1/namespaces/a/pods/p/exec?command=sh"


def guard(**content):
    return PolicyGuard(parse({"version": 1, **content}, "test"), api_hosts=["10.96.0.1"])


def test_a_refusal_names_request_and_rule_each_time():
    strict = guard(exec=False)
    for _ in range(2):
        with pytest.raises(
            PolicyRefused, match=r"connect pods/exec 'p' in namespace a .* rule 'exec'"
        ):
            strict.check(b"GET", EXEC, ANN)
    assert strict.refused == 2
    strict.check(b"GET", b"/api/v1/pods", ANN)


def test_a_path_that_cannot_be_read_is_refused():
    with pytest.raises(PolicyRefused, match="cannot be applied"):
        guard().check(b"GET", b"/api/v1//pods", ANN)


def test_another_policy_takes_over_at_once():
    strict = guard(exec=False)
    with pytest.raises(PolicyRefused):
        strict.check(b"GET", EXEC, ANN)
    strict.replace(Policy())
    strict.check(b"GET", EXEC, ANN)
    assert strict.policy == Policy()


def test_users_are_told_apart_though_answers_are_remembered():
    strict = guard(deny=[{"name": "eve", "users": ["eve"]}])
    strict.check(b"GET", b"/api/v1/pods", ANN)
    with pytest.raises(PolicyRefused):
        strict.check(b"GET", b"/api/v1/pods", encode_principal(Principal("eve")))
    strict.check(b"GET", b"/api/v1/pods", ANN)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 3)
    loose = guard()
    for index in range(10):
        loose.check(b"GET", b"/api/v1/namespaces/n%d/pods" % index, ANN)
    loose.check(b"GET", b"/api/v1/pods?" + b"x" * 2000, ANN)
    assert len(loose._remembered) == 3


def test_a_principal_that_cannot_be_read_is_no_user():
    with pytest.raises(ValueError, match="principal"):
        guard().check(b"GET", b"/api/v1/pods", b"\x00")


def test_dialects_that_name_users_otherwise():
    strict = guard(deny=[{"users": ["eve"]}])
    strict.check_request(b"GET", b"/api/v1/pods", User("ann"))
    with pytest.raises(PolicyRefused):
        strict.check_request(b"GET", b"/api/v1/pods", User(known=False))


@pytest.mark.parametrize(
    "host",
    [
        "kubernetes",
        "kubernetes.default",
        "Kubernetes.Default.svc",
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc.example.org.",
        "10.96.0.1",
    ],
)
def test_raw_streams_to_the_kubernetes_api_cannot_be_checked(host):
    with pytest.raises(PolicyRefused, match="raw stream"):
        guard().check_dial(host, 443)


def test_raw_streams_go_to_services_that_are_listed():
    loose, strict = guard(), guard(services=["a/web:80"])
    loose.check_dial("db.prod", 5432)
    strict.check_dial("web.a.svc.cluster.local", 80)
    with pytest.raises(PolicyRefused, match="rule 'services'"):
        strict.check_dial("web.a", 81)
    for host in ("192.0.2.1", "example.com.", "web", "web.a.evil.example", "::1"):
        with pytest.raises(PolicyRefused):
            strict.check_dial(host, 80)
    with pytest.raises(PolicyRefused, match="names no Service"):
        loose.check_dial("192.0.2.1", 6443)
