"""When Go is there and when it is not, and what makes a cached binary stale."""

import shutil
from pathlib import Path

import pytest

from tests.support import gobuild


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "mod"
    folder.mkdir()
    (folder / "go.mod").write_text("module example\n\ngo 1.22\n")
    (folder / "main.go").write_text("package main\n\nfunc main() {}\n")
    return folder


def test_without_go_there_is_a_reason(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    built = gobuild.build(module, "example")
    assert built.path is None
    assert "Go is not installed" in built.reason


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert gobuild.cache_home() == Path("/somewhere/pipeops")


@pytest.mark.go
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_a_build_is_kept_until_its_sources_change(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = gobuild.build(module, "example")
    assert first.path is not None
    assert first.path.is_file()
    stamp = first.path.stat().st_mtime_ns
    assert gobuild.build(module, "example") == first
    assert first.path.stat().st_mtime_ns == stamp
    (module / "main.go").write_text("package main\n\nfunc main() { println() }\n")
    assert gobuild.build(module, "example").path != first.path
    (module / "main.go").write_text("package main\n\nfunc main() { broken }\n")
    with pytest.raises(gobuild.BuildFailedError, match="broken"):
        gobuild.build(module, "example")


def test_linker_variables_carry_the_release_of_go_mod() -> None:
    variables = gobuild._kubernetes_version(gobuild.TESTS / "cluster")
    version = variables["k8s.io/component-base/version.gitVersion"]
    assert version.startswith("v1.")
    assert variables["k8s.io/component-base/version.gitMinor"] == version.split(".")[1]
