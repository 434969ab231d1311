"""Every fuzz target holds on its corpus and on some mutations of it."""

import importlib

import pytest

from tests.fuzz import harness

TARGETS = sorted(path.name for path in harness.CORPUS.iterdir())


@pytest.mark.parametrize("name", TARGETS)
def test_target_holds(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = importlib.import_module(f"tests.fuzz.fuzz_{name}")
    harness.replay(name, target.check, runs=1_000, seed=20_240_229)
