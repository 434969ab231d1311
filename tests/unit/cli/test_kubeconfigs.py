"""Making, merging and writing kubeconfigs."""

import base64
import stat

import pytest
import yaml

from pipeops.cli.failures import CliError
from pipeops.cli.kubeconfigs import (
    default_kubeconfig,
    dump,
    make_kubeconfig,
    merge,
    merge_into_file,
    write_kubeconfig,
)
from pipeops.runtime.secrets import Secret


def made(cluster="prod", ca=b"PEM"):
    return make_kubeconfig(
        server="https://c:1",
        cluster=cluster,
        token=Secret("t"),
        ca=ca,
        context=f"pipeops-{cluster}",
    )


def test_one_context_that_leads_through_the_control_plane():
    document = yaml.safe_load(dump(made()))
    (entry,) = document["clusters"]
    assert entry["cluster"]["server"] == "https://c:1/k8s/prod"
    assert base64.b64decode(entry["cluster"]["certificate-authority-data"]) == b"PEM"
    assert document["users"][0]["user"] == {"token": "t"}
    assert document["current-context"] == "pipeops-prod"


def test_without_a_ca_the_systems_are_used():
    assert "certificate-authority-data" not in made(ca=None)["clusters"][0]["cluster"]


def test_merge_replaces_only_its_own_entries():
    existing = {"clusters": [{"name": "mine"}, {"name": "pipeops-prod", "cluster": {"server": "old"}}],
                "users": None, "preferences": {"colors": True}, "current-context": "mine"}  # fmt: skip
    merged = merge(existing, made())
    assert [item["name"] for item in merged["clusters"]] == ["mine", "pipeops-prod"]
    assert merged["clusters"][1]["cluster"]["server"] == "https://c:1/k8s/prod"
    assert merged["preferences"] == {"colors": True}
    assert merged["current-context"] == "pipeops-prod"
    assert merge(merged, made()) == merged


def test_merging_into_a_file_follows_links_and_keeps_the_rest(tmp_path):
    real = tmp_path / "real"
    real.write_text("clusters: [{name: mine, cluster: {server: https://x}}]\n")
    link = tmp_path / "link"
    link.symlink_to(real)
    merge_into_file(link, made())
    assert link.is_symlink()
    assert [item["name"] for item in yaml.safe_load(real.read_text())["clusters"]] == [
        "mine",
        "pipeops-prod",
    ]


def test_files_that_are_no_kubeconfig_stay_untouched(tmp_path):
    path = tmp_path / "x"
    for text in ("- a\n- b\n", "a: [", "clusters: nonsense"):
        path.write_text(text)
        with pytest.raises(CliError):
            merge_into_file(path, made())
        assert path.read_text() == text


def test_written_privately_with_its_directory(tmp_path):
    path = tmp_path / "new" / "config"
    write_kubeconfig(path, made())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_default_is_what_kubectl_would_write_to(environment):
    assert default_kubeconfig({"KUBECONFIG": "/a:/b"}).as_posix() == "/a"
    assert default_kubeconfig({}) == environment / ".kube" / "config"
