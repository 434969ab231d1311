"""Pages hang together: links lead somewhere, and every block of commands says whether it is run."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.markdown import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not path.name.startswith(".")
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
MARKS = re.compile(r"run( up| with up( kubectl)?)?|not run: \S.*")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        place = page if not path else page.parent / path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert not broken


def anchors(page: Path) -> set[str]:
    """Anchors as Git forges make them from headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_commands_says_whether_it_is_run(page: Path) -> None:
    unmarked = [block.line for block in blocks(page) if not MARKS.fullmatch(block.mark)]
    assert not unmarked, (
        "mark the blocks of these lines with <!-- run … --> or <!-- not run: why -->"
    )


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if "://" not in target
    }
    lonely = [
        str(page.relative_to(ROOT))
        for page in PAGES
        if page.is_relative_to(ROOT / "docs") and page not in linked and page.parent not in linked
    ]
    assert not lonely


def test_documented_make_targets_exist() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^  ([a-z0-9-]+) ", listed.stdout, re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|\$ )make ([a-z0-9-]+)", page.read_text())
    }
    assert named <= targets
