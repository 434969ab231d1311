from pipeops.sim import discovery
from tests.unit.sim.conftest import World


def test_every_group_is_listed_with_its_preferred_version(world: World) -> None:
    groups = {each["name"]: each for each in discovery.group_list(world.cluster.registry)["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert groups["autoscaling"]["preferredVersion"]["version"] == "v2"
    assert "kind" not in groups["apps"]


def test_resources_come_with_their_subresources(world: World) -> None:
    found = discovery.resource_list(world.cluster.registry, "apps", "v1")
    names = [each["name"] for each in found["resources"]]
    assert names == sorted(names)
    scale = next(each for each in found["resources"] if each["name"] == "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


def test_the_aggregated_form_tells_the_same_in_one_document(world: World) -> None:
    found = discovery.aggregated(world.cluster.registry, core=False, version="v2")
    names = {item["metadata"]["name"] for item in found["items"]}
    assert names == {each for each in world.cluster.registry.groups() if each}
    (core,) = discovery.aggregated(world.cluster.registry, core=True, version="v2")["items"]
    plurals = [each["resource"] for each in core["versions"][0]["resources"]]
    assert "pods" in plurals


def test_the_root_lists_every_path(world: World) -> None:
    paths = discovery.root_paths(world.cluster.registry)["paths"]
    assert {"/api/v1", "/apis/apps/v1", "/openapi/v3", "/version"} <= set(paths)


def test_api_versions_and_groups_have_their_kinds(world: World) -> None:
    assert discovery.api_versions()["versions"] == ["v1"]
    found = discovery.api_group(world.cluster.registry, "apps", top_level=True)
    assert found["kind"] == "APIGroup"
