import pytest

from pipeops.kube import kubeconfig
from pipeops.kube.errors import KubeConfigError


def write(path, text):
    path.write_text(text)
    return path


def test_first_file_wins_name_by_name(tmp_path):
    one = write(
        tmp_path / "one",
        """
clusters: [{name: c, cluster: {server: https://one}}]
users: null
contexts: [{name: a, context: {cluster: c}}]
""",
    )
    two = write(
        tmp_path / "two",
        """
apiVersion: v1
current-context: b
preferences: {}
clusters:
- {name: c, cluster: {server: https://two}}
- {name: d, cluster: {server: https://d}}
users: [{name: u, user: {token: t}}]
contexts: [{name: b, context: {cluster: d, user: u}}]
""",
    )
    merged = kubeconfig.read([one, two])
    assert merged.current_context == "b"
    assert merged.clusters["c"][0].server == "https://one"
    assert merged.clusters["d"] == (kubeconfig.Cluster(server="https://d"), two)
    assert set(merged.contexts) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", ["line 1"]),
        ("clusters:\n- name: c\n  cluster: {server: [", ["line 4"]),
        ("clusters: {}", ["$.clusters"]),
        ("users: [{name: u, user: {token: 5}}]", ["$.users[0].user.token"]),
        ("- 1", ["object"]),
        ("\x00", []),
    ],
)
def test_malformed_files_name_line_or_key(tmp_path, text, words):
    path = write(tmp_path / "config", text)
    with pytest.raises(KubeConfigError) as caught:
        kubeconfig.read([path])
    assert str(path) in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_empty_file_is_an_empty_config(tmp_path):
    assert kubeconfig.read([write(tmp_path / "c", "")]).contexts == {}


def test_unreadable_file_says_why(tmp_path):
    with pytest.raises(KubeConfigError, match="No such file"):
        kubeconfig.read([tmp_path / "missing"])


def test_search_skips_what_is_missing(tmp_path):
    there = write(tmp_path / "there", "")
    found = kubeconfig.search_paths(f":{tmp_path}/missing:{there}", None)
    assert list(found) == [there]
    assert list(kubeconfig.search_paths(None, tmp_path)) == []
    (tmp_path / ".kube").mkdir()
    default = write(tmp_path / ".kube" / "config", "")
    assert list(kubeconfig.search_paths("", tmp_path)) == [default]
    assert list(kubeconfig.search_paths(None, None)) == []


def test_users_do_not_print(tmp_path):
    path = write(tmp_path / "c", "users: [{name: u, user: {token: canary}}]")
    assert "canary" not in repr(kubeconfig.read([path]))
