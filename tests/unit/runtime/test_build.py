"""Commit and date come from the wheel's note, else from the checkout as git keeps it, else nobody knows."""

import json
from pathlib import Path

import pytest

from pipeops.runtime.build import Build, find_build, this_build

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package's folder in a checkout without git."""
    package = tmp_path / "checkout" / "src" / "pipeops"
    package.mkdir(parents=True)
    (package.parent.parent / "pyproject.toml").touch()
    return package


def git(package: Path, **files: str) -> Path:
    """Write files of a `.git` folder; `__` stands for a slash."""
    folder = package.parent.parent / ".git"
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_wheel_tells_what_was_noted_when_it_was_built(package: Path) -> None:
    noted = {"commit": COMMIT, "date": "2026-01-01T00:00:00Z"}
    (package / "build.json").write_text(json.dumps(noted))
    assert find_build(package) == Build(COMMIT[:12], "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"commit": 5, "date": "a\\nb"}'])
def test_a_note_that_makes_no_sense_is_nothing_known(package: Path, text: str) -> None:
    (package / "build.json").write_text(text)
    assert find_build(package) == Build()


def test_a_checkout_has_a_branch(package: Path) -> None:
    git(package, HEAD="ref: refs/heads/main\n", refs__heads__main=COMMIT + "\n")
    assert find_build(package).commit == COMMIT[:12]


def test_a_checkout_may_be_of_a_commit_or_of_a_packed_branch(package: Path) -> None:
    git(package, HEAD=COMMIT)
    assert find_build(package).commit == COMMIT[:12]
    packed = f"# pack-refs\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n"
    git(package, HEAD="ref: refs/heads/main", **{"packed-refs": packed})
    assert find_build(package).commit == COMMIT[:12]


def test_a_linked_worktree_has_its_branch_elsewhere(package: Path, tmp_path: Path) -> None:
    (package.parent.parent / ".git").write_text("gitdir: ../main/.git/worktrees/w\n")
    own = tmp_path / "main" / ".git" / "worktrees" / "w"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/w\n")
    (own / "commondir").write_text("../..\n")
    heads = tmp_path / "main" / ".git" / "refs" / "heads"
    heads.mkdir(parents=True)
    (heads / "w").write_text(COMMIT)
    assert find_build(package).commit == COMMIT[:12]


def test_without_git_or_elsewhere_nothing_is_known(package: Path, tmp_path: Path) -> None:
    assert find_build(package) == Build()
    git(package, HEAD="ref: refs/heads/none")
    assert find_build(package) == Build()
    git(package, HEAD="no commit at all")
    assert find_build(package) == Build()
    assert find_build(tmp_path / "site-packages" / "pipeops") == Build()


def test_the_running_program_is_looked_at_once() -> None:
    assert this_build() is this_build()
