from pipeops.sim.openapi.schemas import (
    SchemaWriter,
    custom_name,
    definition_name,
    full_name,
    subresource_definition,
)
from pipeops.sim.schema.model import definitions
from tests.unit.sim.conftest import World


def test_names_are_the_documents_own() -> None:
    assert full_name("core.v1.Pod") == "io.k8s.api.core.v1.Pod"
    assert full_name("meta.v1.ObjectMeta") == "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def test_a_closure_refers_to_nothing_that_is_missing(world: World) -> None:
    writer = SchemaWriter(v3=True)
    resources = world.cluster.registry.in_version("apps", "v1")
    found = writer.closure(resources)
    text = str(found)
    for name in text.split("#/components/schemas/")[1:]:
        assert name.split("'")[0] in found
    kind = found["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"]
    assert kind == [{"group": "apps", "kind": "Deployment", "version": "v1"}]


def test_patch_marks_are_in_the_schema() -> None:
    containers = definitions()["core.v1.PodSpec"].fields["containers"]
    found = SchemaWriter(v3=False).field_schema(containers)
    assert found["x-kubernetes-patch-merge-key"] == "name"
    assert found["items"] == {"$ref": "#/definitions/io.k8s.api.core.v1.Container"}


def test_both_versions_have_their_form_of_int_or_string() -> None:
    definition = definitions()["machinery.util.intstr.IntOrString"]
    assert SchemaWriter(v3=False).definition_schema(definition)["type"] == "string"
    assert "oneOf" in SchemaWriter(v3=True).definition_schema(definition)


def test_subresources_with_a_kind_of_their_own_are_found(world: World) -> None:
    resource = world.resource("apps/v1", "Deployment")
    assert subresource_definition(resource, "Scale", "autoscaling/v1") == "autoscaling.v1.Scale"
    assert subresource_definition(resource, "Nothing", "") == ""
    assert definition_name(resource) == "io.k8s.api.apps.v1.Deployment"
    assert custom_name(resource, "Box") == "apps.v1.Box"
