import pytest

from pipeops.sim.validation.names import (
    dns_1035_label,
    dns_label,
    dns_subdomain,
    labels,
    metadata_causes,
    path_segment,
    qualified_name,
)
from tests.unit.sim.conftest import World


@pytest.mark.parametrize("name", ["a", "a-b", "1a", "a" * 63])
def test_labels_that_are_fine(name: str) -> None:
    assert dns_label(name) == []


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a" * 64])
def test_labels_that_are_not(name: str) -> None:
    assert dns_label(name)


def test_subdomains_have_dots_and_services_start_with_a_letter() -> None:
    assert dns_subdomain("a.b-c.d") == []
    assert dns_subdomain("a..b")
    assert dns_subdomain("a" * 254)
    assert dns_1035_label("a1") == []
    assert dns_1035_label("1a")


def test_roles_may_have_any_name_that_fits_a_path() -> None:
    assert path_segment("system:Role One") == []
    assert path_segment("a/b")
    assert path_segment("..")


@pytest.mark.parametrize("key", ["a", "example.com/a", "A.b_c"])
def test_keys_that_are_fine(key: str) -> None:
    assert qualified_name(key) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "Ex ample/a", "a" * 64, "a b"])
def test_keys_that_are_not(key: str) -> None:
    assert qualified_name(key)


def test_label_values_are_checked() -> None:
    assert list(labels({"a": ""}, "f")) == []
    assert list(labels({"a": "no spaces!"}, "f"))
    assert list(labels({"a": "x" * 64}, "f"))


def test_metadata_needs_a_name_and_complete_owners(world: World) -> None:
    resource = world.resource("v1", "ConfigMap")
    (missing,) = metadata_causes(resource, {"metadata": {}})
    assert missing.message == "Required value: name or generateName is required"
    owner = {"kind": "Pod", "name": "p", "apiVersion": "v1"}
    (cause,) = metadata_causes(resource, {"metadata": {"name": "a", "ownerReferences": [owner]}})
    assert cause.field == "metadata.ownerReferences[0].uid"


def test_annotations_have_a_limit(world: World) -> None:
    resource = world.resource("v1", "ConfigMap")
    notes = {"a": "x" * (256 * 1024)}
    (cause,) = metadata_causes(resource, {"metadata": {"name": "a", "annotations": notes}})
    assert cause.reason == "FieldValueTooLong"
