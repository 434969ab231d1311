import json

import pytest

from pipeops.agent.commands.policy import judge
from pipeops.agent.commands.policy import test as policy_test
from pipeops.agent.policy.rules import Policy, User

EXEC = "/api/v1/namespaces/a/pods/p/exec"


@pytest.fixture
def policy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "p.yaml"
    path.write_text(
        "version: 1\nexec: off\ndeny: [{name: no-eve, users: [eve]}]\nservices: ['a/web:80']\n"
    )
    return ["--policy-file", str(path)]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["--user", "ann", "GET", "/api/v1/pods"], 0, "allowed: list pods"),
        (["--user", "ann", "get", EXEC], 1, "by rule 'exec'"),
        (["--user", "eve", "GET", "/api/v1/pods"], 1, "by rule 'no-eve'"),
        (["GET", "/api/v1/pods"], 1, "by rule 'no-eve'"),
        (["--user", "ann", "GET", "/api//v1"], 1, "empty segment"),
        (["SERVICE", "a/web:80"], 0, "by rule 'services'"),
        (["SERVICE", "a/web:http"], 1, "forbidden"),
    ],
)
def test_it_says_by_which_rule(policy, capsys, argv, code, words):
    assert policy_test([*policy, *argv]) == code
    assert words in capsys.readouterr().out


def test_json(policy, capsys):
    assert policy_test([*policy, "-o", "json", "--user", "ann", "GET", EXEC]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["allowed"] is False
    assert answer["rule"] == "exec"


def test_without_a_usable_policy_it_fails(policy, capsys, tmp_path):
    assert policy_test(["GET", "/"]) == 1
    assert "no policy is set" in capsys.readouterr().err
    (tmp_path / "p.yaml").write_text("version: 3")
    assert policy_test([*policy, "GET", "/"]) == 1
    assert "version: expected 1" in capsys.readouterr().err
    assert policy_test([*policy, "--port", "x", "GET", "/"]) == 2


def test_a_policy_that_restricts_nothing():
    decision, what = judge(Policy(), "GET", "/api/v1/nodes", User("ann"))
    assert (decision.allowed, decision.rule, what) == (True, "", "list nodes")
