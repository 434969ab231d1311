"""Every threat of the security page is answered by tests that exist."""

import re
from pathlib import Path

from tests.docs.markdown import tables

ROOT = Path(__file__).resolve().parents[2]
THREATS = tables((ROOT / "docs/explanation/security.md").read_text())["threats"]
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def test_no_threat_is_left_out() -> None:
    assert [row["id"] for row in THREATS] == [f"S-{number:02}" for number in range(1, 32)]


def test_every_threat_names_tests_that_exist() -> None:
    missing = []
    for row in THREATS:
        named = TEST.findall(row["tests"])
        assert named, row
        for file, name in named:
            path = ROOT / "tests" / file
            if not path.exists() or not re.search(rf"def {name}\b", path.read_text()):
                missing.append(f"{row['id']}: {file}::{name}")
    assert not missing
