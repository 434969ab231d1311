"""The documentation's table is the suite's."""

from tests.conformance import agent_cases, control_cases
from tests.conformance.table import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.conformance.table"


def test_every_case_has_a_name_of_its_own() -> None:
    for cases in (agent_cases.CASES, control_cases.CASES):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)
