import pytest

from pipeops.sim import objects


def test_a_copy_shares_nothing() -> None:
    value = {"a": [{"b": 1}]}
    copy = objects.deep_copy(value)
    copy["a"][0]["b"] = 2
    assert value == {"a": [{"b": 1}]}


def test_parts_that_are_missing_read_as_empty() -> None:
    assert objects.name_of({}) == objects.namespace_of({}) == objects.uid_of({}) == ""
    assert objects.labels_of({"metadata": None}) == {}
    assert objects.dig({"a": {"b": 1}}, "a", "b") == 1
    assert objects.dig({"a": 1}, "a", "b") is None
    obj: dict = {"metadata": None}
    assert objects.metadata(obj) is obj["metadata"]


def test_only_the_managing_owner_is_the_controller() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u"}}
    reference = objects.owner_reference(owner)
    other = {**reference, "controller": False, "name": "other"}
    child = {"metadata": {"ownerReferences": [other, reference]}}
    assert objects.controller_of(child) == reference
    assert objects.controller_of({"metadata": {}}) is None


def test_times_go_there_and_back() -> None:
    assert objects.timestamp(1_767_225_600.9) == "2026-01-01T00:00:00Z"
    assert objects.micro_timestamp(1_767_225_600.5) == "2026-01-01T00:00:00.500000Z"
    assert objects.nano_timestamp(1_767_225_600.5) == "2026-01-01T00:00:00.500000000Z"
    assert objects.parse_timestamp("2026-01-01T00:00:00Z") == 1_767_225_600
    with pytest.raises(ValueError):
        objects.parse_timestamp("yesterday")
