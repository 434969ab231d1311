from dataclasses import replace

import pytest

from pipeops.sim.kinds import GroupResource, Registry, builtin_resources, version_rank


def test_kinds_are_found_by_path_kind_and_storage() -> None:
    registry = Registry()
    found = registry.find("apps", "v1", "deployments")
    assert found is not None
    assert found == registry.by_kind("apps/v1", "Deployment")
    assert found == registry.by_storage(GroupResource("apps", "deployments"))
    assert (found.group_version, found.list_kind) == ("apps/v1", "DeploymentList")
    assert registry.find("apps", "v9", "deployments") is None
    assert registry.by_kind("v1", "Nothing") is None


def test_reviews_are_not_stored() -> None:
    reviews = [each for each in builtin_resources() if each.plural == "selfsubjectreviews"]
    assert [each.persistent for each in reviews] == [False]


def test_custom_kinds_come_and_go_and_change_the_generation() -> None:
    registry = Registry()
    base = registry.find("", "v1", "configmaps")
    assert base is not None
    custom = replace(base, group="example.com", plural="boxes", kind="Box", custom={})
    before = registry.generation
    registry.install("boxes.example.com", [custom])
    assert registry.find("example.com", "v1", "boxes") is custom
    assert registry.groups()["example.com"] == ["v1"]
    registry.uninstall("boxes.example.com")
    assert registry.find("example.com", "v1", "boxes") is None
    assert registry.generation > before


@pytest.mark.parametrize(
    ("first", "second"),
    [("v2", "v1"), ("v1", "v1beta1"), ("v1beta2", "v1beta1"), ("v1beta1", "v1alpha1"), ("v1", "x")],
)
def test_newer_and_stabler_versions_come_first(first: str, second: str) -> None:
    assert version_rank(first) < version_rank(second)
