import pytest

from tests.unit.sim.conftest import World, config_map

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/nodes", 200),
        ("/healthz", 200),
        ("/readyz?verbose", 200),
        ("/version", 200),
        ("/", 200),
        ("/api/v1", 200),
        ("/apis/apps", 200),
        ("/openapi/v3", 200),
        ("/no/such/path", 404),
        ("/api/v1/nosuchthings", 404),
        ("/apis/none/v1/things", 404),
        ("/apis/apps/v9", 404),
        ("/api/v1/namespaces/default/nodes", 404),
        (f"{MAPS}/a/scale", 404),
    ],
)
async def test_paths(world: World, path: str, status: int) -> None:
    assert (await world("GET", path)).status == status


async def test_anonymous_users_see_health_but_nothing_else(world: World) -> None:
    assert (await world("GET", "/healthz", token="")).status == 200
    refused = await world("GET", "/api/v1/nodes", token="")
    assert refused.status == 403
    assert 'User "system:anonymous" cannot list' in refused.body["message"]
    assert (await world("GET", "/api/v1/nodes", token="wrong")).status == 401


async def test_answers_carry_an_audit_id_and_warnings(world: World) -> None:
    found = await world("POST", MAPS, {**config_map("a"), "colour": "red"})
    assert found.headers["Audit-Id"]
    assert found.headers["Warning"] == '299 - "unknown field \\"colour\\""'


async def test_methods_that_make_no_sense_are_refused(world: World) -> None:
    assert (await world("PUT", MAPS, config_map("a"))).status == 405
    assert (await world("POST", "/api/v1/configmaps", config_map("a"))).status == 405
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    assert (await world("GET", path)).status == 405


async def test_a_collection_is_deleted_by_its_selector(world: World) -> None:
    for name in ("a", "b"):
        body = config_map(name)
        body["metadata"]["labels"] = {"name": name}
        await world("POST", MAPS, body)
    found = await world("DELETE", f"{MAPS}?labelSelector=name%3Da")
    assert [item["metadata"]["name"] for item in found.body["items"]] == ["a"]
    assert (await world("GET", f"{MAPS}/b")).status == 200


async def test_a_namespace_is_read_by_its_own_path(world: World) -> None:
    for path in ("/api/v1/namespaces/default", "/api/v1/namespaces/default/status"):
        assert (await world("GET", path)).body["metadata"]["name"] == "default"


async def test_pods_insides_are_served_only_with_their_endpoints(world: World) -> None:
    path = "/api/v1/namespaces/default/pods/p/log"
    assert (await world("GET", path)).status in {404, 405}
