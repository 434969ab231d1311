"""The property tests notice bugs: each of the seven classic ones is planted and must be caught."""

import pytest

from tests.property.plant_bugs import MORE, SEVEN, copy_with, survives


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", SEVEN, ids=lambda bug: bug.name.replace(" ", "-"))
def test_planted_bug_is_caught(bug):
    passed, _ = survives(bug)
    assert not passed, f"the suite did not notice: {bug.name}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_unharmed_copy_passes():
    passed, failed = survives(None)
    assert passed, failed


@pytest.mark.parametrize("bug", SEVEN + MORE, ids=lambda bug: bug.name.replace(" ", "-"))
def test_bug_still_fits_the_code(bug, tmp_path):
    copy_with(bug, tmp_path)
