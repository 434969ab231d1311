"""The generated pages of docs/reference are what the code says today."""

import importlib.util

import pytest


@pytest.fixture(scope="module")
def generator(root):
    spec = importlib.util.spec_from_file_location("generate", root / "docs/reference/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "agent-api.md"])
def test_reference_pages_are_fresh(generator, root, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = root / "docs/reference" / name
    assert page.read_text() == generator.pages()[name], "run `make reference`"
