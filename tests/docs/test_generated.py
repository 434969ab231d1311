"""The generated pages of docs/reference are what the code says today."""

import importlib.util
import sys

import pytest


@pytest.fixture(scope="module")
def generator(root):
    spec = importlib.util.spec_from_file_location("generate", root / "docs/reference/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "agent-api.md", "compatibility.md"])
def test_reference_pages_are_fresh(generator, root, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = root / "docs/reference" / name
    assert page.read_text() == generator.pages()[name], "run `make reference`"


@pytest.fixture(scope="module")
def compatibility(generator):
    return sys.modules["compatibility"]


@pytest.fixture(scope="module")
def go_agent(generator):
    return sys.modules["go_agent"]


def test_every_row_has_a_verdict_and_a_reason(compatibility):
    for rows in compatibility.tables().values():
        assert rows
        for row in rows:
            assert row.verdict in {"same", "better", "accepted only", "missing"}
            assert row.remark or row.verdict == "same", row
            assert row.remark != "?", f"{row.name} is nowhere: add it, or say why it is missing"


def test_what_is_called_better_is_there(compatibility, go_agent):
    verdicts = {row.name: row.verdict for rows in compatibility.tables().values() for row in rows}
    assert set(go_agent.BETTER) <= set(verdicts)
    assert not [name for name in go_agent.ELSEWHERE if verdicts[name] == "missing"]


def test_every_key_of_ours_that_has_no_effect_is_told_as_such(compatibility):
    keys = {key.name: key for key in compatibility.keys_of(compatibility.AgentSettings).values()}
    for row in compatibility.tables()["Settings"]:
        if row.name in keys:
            assert (row.verdict == "accepted only") is bool(keys[row.name].inert), row


def test_inert_variables_are_read_by_nothing(compatibility, root):
    """A variable that some module reads must not be called without effect."""
    source = "".join(path.read_text() for path in (root / "src/pipeops/agent").rglob("*.py"))
    for name in compatibility.INERT_VARIABLES:
        assert source.count(f'"{name}"') == 1, name
