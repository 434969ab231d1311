"""One context out of the person's kubeconfigs."""

import pytest
import yaml

from pipeops.cli.failures import CliError
from pipeops.cli.up.kubeconfig_extract import current_context, extract, kubeconfig_files


def write(path, **content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def one(tmp_path):
    return write(
        tmp_path / "one" / "config",
        clusters=[
            {
                "name": "c",
                "cluster": {"server": "https://c:6443", "certificate-authority": "pki/ca.crt"},
            }
        ],
        users=[
            {
                "name": "u",
                "user": {
                    "client-certificate": "u.crt",
                    "client-key": "/abs/u.key",
                    "tokenFile": "t",
                },
            },
            {"name": "plugin", "user": {"exec": {"command": "bin/auth", "args": ["x"]}}},
            {"name": "path", "user": {"exec": {"command": "aws"}}},
        ],
        contexts=[
            {"name": "a", "context": {"cluster": "c", "user": "u"}},
            {"name": "b", "context": {"cluster": "c", "user": "plugin"}},
            {"name": "d", "context": {"cluster": "c", "user": "path"}},
            {"name": "anonymous", "context": {"cluster": "c"}},
            {"name": "broken", "context": {"cluster": "gone", "user": "u"}},
        ],
        **{"current-context": "a"},
    )


def test_relative_paths_become_absolute(one):
    document = extract([one], "a")
    assert document["clusters"][0]["cluster"]["certificate-authority"] == str(
        one.parent / "pki/ca.crt"
    )
    assert document["users"][0]["user"] == {
        "client-certificate": str(one.parent / "u.crt"), "client-key": "/abs/u.key", "tokenFile": str(one.parent / "t"),
    }  # fmt: skip
    assert document["current-context"] == "a"


def test_plugins_with_a_path_are_relative_to_the_file_and_bare_ones_stay(one):
    assert extract([one], "b")["users"][0]["user"]["exec"]["command"] == str(
        one.parent / "bin/auth"
    )
    assert extract([one], "d")["users"][0]["user"]["exec"]["command"] == "aws"


def test_nothing_else_is_copied(one):
    document = extract([one], "anonymous")
    assert [len(document[section]) for section in ("clusters", "users", "contexts")] == [1, 1, 1]
    assert document["users"][0]["user"] == {}


def test_the_first_file_wins(one, tmp_path):
    first = write(
        tmp_path / "first", clusters=[{"name": "c", "cluster": {"server": "https://first"}}]
    )
    assert extract([first, one], "a")["clusters"][0]["cluster"]["server"] == "https://first"


@pytest.mark.parametrize(
    ("context", "says"), [("nope", "context named 'nope'"), ("broken", "cluster named 'gone'")]
)
def test_what_is_missing_is_named(one, context, says):
    with pytest.raises(CliError, match=says):
        extract([one], context)


def test_current_context_is_the_first_that_is_set(one, tmp_path):
    empty = write(tmp_path / "empty")
    assert current_context([empty, one]) == "a"
    assert current_context([empty]) is None


def test_files_that_do_not_exist_are_left_out(one, environment):
    assert kubeconfig_files({"KUBECONFIG": f"/nope:{one}"}) == (one,)
    assert kubeconfig_files({"HOME": str(environment)}) == ()


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "bad").write_text("a: [")
    with pytest.raises(CliError, match="not YAML"):
        current_context([tmp_path / "bad"])
