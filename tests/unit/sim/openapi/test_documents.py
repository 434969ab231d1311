import json

from pipeops.sim.openapi.documents import Documents
from tests.unit.sim.conftest import World
from tests.unit.sim.controllers.test_definitions import definition


def test_the_index_names_a_document_for_every_group_version(world: World) -> None:
    documents = Documents(world.cluster.registry)
    paths = documents.index()["paths"]
    assert {"api/v1", "apis/apps/v1"} <= paths.keys()
    assert paths["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")
    assert documents.v3("none", "v1") is None


def test_explain_finds_its_operation_and_apply_its_parameters(world: World) -> None:
    document = json.loads(Documents(world.cluster.registry).v3("apps", "v1") or b"")
    path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    patch = document["paths"][path]["patch"]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Deployment"
    names = {parameter["name"] for parameter in patch["parameters"]}
    assert {"dryRun", "fieldValidation", "force"} <= names


def test_custom_kinds_appear_while_they_are_served(world: World) -> None:
    documents = Documents(world.cluster.registry)
    assert documents.v3("example.com", "v1") is None
    world.put(definition())
    world.controllers.settle()
    document = json.loads(documents.v3("example.com", "v1") or b"")
    assert "com.example.v1.Box" in document["components"]["schemas"]
    path = "/apis/example.com/v1/namespaces/{namespace}/boxes/{name}"
    patches = document["paths"][path]["patch"]["requestBody"]["content"]
    assert "application/strategic-merge-patch+json" not in patches
    assert b"com.example.v1.Box" in documents.v2()


def test_version_two_comes_as_json_and_protobuf(world: World) -> None:
    documents = Documents(world.cluster.registry)
    assert json.loads(documents.v2())["swagger"] == "2.0"
    assert b"io.k8s.api.core.v1.Pod" in documents.v2(protobuf=True)
