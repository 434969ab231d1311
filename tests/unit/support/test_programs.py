"""Where the Kubernetes programs come from."""

from pathlib import Path

import pytest

from tests.support import gobuild, programs


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in gobuild.KUBERNETES_PROGRAMS:
        monkeypatch.delenv("TEST_ASSET_" + name.upper().replace("-", "_"), raising=False)
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).touch()
    return tmp_path


def test_kubebuilder_assets_come_first(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found, _ = programs.find_programs()
    assert found == programs.Programs(
        assets / "etcd", assets / "kube-apiserver", assets / "kubectl"
    )


def test_a_single_asset_overrides_the_folder(
    assets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "etcd"
    other.touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.setenv("TEST_ASSET_ETCD", str(other))
    found, _ = programs.find_programs()
    assert found is not None
    assert found.etcd == other


def test_without_go_and_assets_both_ways_out_are_named(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(gobuild, "cluster", lambda: gobuild.Built(None, "Go is not installed"))
    found, reason = programs.find_programs()
    assert found is None
    assert reason == "Go is not installed; or set KUBEBUILDER_ASSETS"
