"""A policy file is read strictly: what is misspelt must not allow what it meant to forbid."""

import pytest

from pipeops.agent.policy.document import PolicyError, parse
from pipeops.agent.policy.rules import Policy


def problems(content):
    with pytest.raises(PolicyError) as caught:
        parse(content, "p.yaml")
    text = str(caught.value)
    assert text.startswith("policy p.yaml: ")
    return text


def test_the_least_policy_allows_everything():
    assert parse({"version": 1}, "p") == Policy()


@pytest.mark.parametrize("content", [None, [], "x", 1])
def test_an_empty_file_is_no_policy(content):
    assert "version: 1" in problems(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"readonly": True}, "readonly: unknown"),
        ({"readOnly": "yes"}, "readOnly: expected true or false"),
        ({"exec": None}, "exec: expected true or false"),
        ({"deny": {}}, "deny: expected a list"),
        ({"deny": None}, "deny: expected a list"),
        ({"allow": ["x"]}, "allow[0]: expected a mapping"),
        ({"deny": [{"namespace": ["a"]}]}, "deny[0].namespace: unknown"),
        ({"deny": [{"namespaces": []}]}, "expected a list of text that is not empty"),
        ({"deny": [{"namespaces": [1]}]}, "expected a list of text"),
        ({"deny": [{"namespaces": None}]}, "expected a list of text"),
        ({"deny": [{"verbs": ["reed"]}]}, "'reed' is none of"),
        ({"deny": [{"resources": ["Secrets"]}]}, "'Secrets' is not like pods"),
        ({"deny": [{"resources": ["a/b/c"]}]}, "is not like pods"),
        ({"deny": [{"paths": ["/x"], "resources": ["a"]}]}, "not both"),
        ({"deny": [{"name": ""}]}, "expected a short text"),
        ({"deny": [{"name": "a"}, {"name": "a"}]}, "used twice"),
        ({"deny": [{}] * 501}, "at most 500"),
        ({"services": "a/b:1"}, "services: expected a list"),
        ({"services": ["web:80"]}, "is not namespace/name:port"),
    ],
)
def test_every_mistake_is_named(content, words):
    assert words in problems({"version": 1, **content})


def test_all_mistakes_are_told_at_once():
    text = problems({"version": 2, "exec": 1, "deny": [{"verbs": ["x"]}]})
    assert text.count(";") >= 2


def test_one_text_stands_for_a_list_of_one():
    policy = parse({"version": 1, "deny": [{"namespaces": "a"}]}, "p")
    assert policy.deny[0].namespaces.match("a")
    assert not policy.deny[0].namespaces.match("b")
