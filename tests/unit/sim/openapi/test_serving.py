from pipeops.sim.openapi.documents import Documents
from pipeops.sim.openapi.protobuf import MEDIA_TYPE
from pipeops.sim.openapi.serving import openapi_answer
from tests.unit.sim.conftest import World


def test_documents_are_found_at_their_paths(world: World) -> None:
    documents = Documents(world.cluster.registry)
    for path in ("openapi/v3", "openapi/v3/api/v1", "openapi/v3/apis/apps/v1", "openapi/v2"):
        assert openapi_answer(documents, path.split("/"), "*/*") is not None
    for path in ("openapi", "openapi/v3/apis/none/v1", "openapi/v4"):
        assert openapi_answer(documents, path.split("/"), "*/*") is None


def test_old_clients_get_protobuf(world: World) -> None:
    asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    found = openapi_answer(Documents(world.cluster.registry), ["openapi", "v2"], asked)
    assert found is not None
    assert found.content_type == MEDIA_TYPE
    assert "@" not in MEDIA_TYPE
