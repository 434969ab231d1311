import pytest

from pipeops.sim.errors import ApiError
from pipeops.sim.selectors import (
    as_query,
    from_object,
    matches,
    object_filter,
    parse_labels,
    render,
)

LABELS = {"app": "web", "tier": "1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=1", True),
        ("app!=web", False),
        ("none!=x", True),
        ("app in (web, db)", True),
        ("app notin (web)", False),
        ("app", True),
        ("!app", False),
        ("!none", True),
        ("tier>0", True),
        ("tier<1", False),
    ],
)
def test_label_selectors(text: str, expected: bool) -> None:
    assert matches(parse_labels(text), LABELS) is expected


def test_a_selector_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ApiError):
        parse_labels("==")


def test_selectors_of_objects() -> None:
    selector = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["1"]},
            {"key": "none", "operator": "DoesNotExist"},
        ],
    }
    parsed = from_object(selector)
    assert parsed is not None
    assert matches(parsed, LABELS)
    assert from_object(None) is None
    assert as_query(selector) == "app=web,!none,tier in (1)"
    assert render(None) == "<none>"


def test_field_selectors_depend_on_the_kind() -> None:
    accept = object_filter("", "status.phase=Running,metadata.name!=x", "", "pods")
    assert accept({"metadata": {"name": "a"}, "status": {"phase": "Running"}})
    assert not accept({"metadata": {"name": "x"}, "status": {"phase": "Running"}})
    with pytest.raises(ApiError, match="field label not supported"):
        object_filter("", "spec.colour=x", "", "pods")
    with pytest.raises(ApiError, match="not a known field selector"):
        object_filter("", "spec.colour=x", "", "configmaps")
