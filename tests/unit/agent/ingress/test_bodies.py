"""The registry's three bodies, key by key."""

import json

from pipeops.agent.ingress.bodies import (
    Circumstances,
    register_body,
    sync_body,
    unregister_body,
)
from pipeops.agent.ingress.routes import PathType, Source
from pipeops.agent.ingress_settings import ServiceName
from tests.unit.agent.ingress.making import spec

TUNNEL = Circumstances(cluster="c-1")
DIRECT = Circumstances(cluster="c-1", public_endpoint="203.0.113.45:443")


def test_register_has_nine_keys_always_and_the_others_only_when_they_say_something() -> None:
    assert json.loads(register_body(spec(), TUNNEL)) == {
        "hostname": "a.test",
        "cluster_uuid": "c-1",
        "namespace": "shop",
        "service_name": "web",
        "service_port": 80,
        "ingress_name": "web",
        "path": "/",
        "path_type": "Prefix",
        "tls": False,
        "routing_mode": "tunnel",
    }
    full = spec(
        "*.a.test",
        "/x",
        kind=PathType.EXACT,
        tls=True,
        annotations={"pipeops.io/owner": "o"},
        deployment_id="production:o",
        deployment_name="o",
    )
    body = json.loads(register_body(full, DIRECT))
    assert {key: body[key] for key in list(body)[8:]} == {
        "tls": True,
        "annotations": {"pipeops.io/owner": "o"},
        "public_endpoint": "203.0.113.45:443",
        "routing_mode": "direct",
        "deployment_id": "production:o",
        "deployment_name": "o",
    }


def test_through_a_controller_its_namespace_is_sent_and_the_ingress_own_beside_it() -> None:
    route = spec(source="web")
    through = type(route)(
        key=route.key, source=route.source, namespace="traefik", service="traefik", port=80
    )
    body = json.loads(register_body(through, TUNNEL))
    assert (body["namespace"], body["ingress_namespace"]) == ("traefik", "shop")
    around = Circumstances(
        cluster="c-1", controller=ServiceName("traefik", "traefik", 80), controller_type="traefik"
    )
    body = json.loads(sync_body([through], around))
    assert body["ingress_controller"] == {
        "name": "traefik",
        "namespace": "traefik",
        "port": 80,
        "type": "traefik",
    }
    assert body["ingresses"][0]["namespace"] == "shop"


def test_sync_groups_paths_by_host_and_hosts_by_ingress() -> None:
    annotations = {"pipeops.io/owner": "o"}
    routes = [
        spec("a.test", "/x", annotations=annotations, tls=True, deployment_name="o"),
        spec("a.test", "/y", annotations=annotations, tls=True, port=81, deployment_name="o"),
        spec("b.test", annotations=annotations, deployment_name="o"),
        spec("c.test", source="other"),
    ]
    one = {"path_type": "Prefix", "service_name": "web", "service_port": 80}
    assert json.loads(sync_body(routes, TUNNEL)) == {
        "cluster_uuid": "c-1",
        "routing_mode": "tunnel",
        "ingresses": [
            {
                "namespace": "shop",
                "ingress_name": "web",
                "annotations": annotations,
                "deployment_name": "o",
                "rules": [
                    {
                        "host": "a.test",
                        "tls": True,
                        "paths": [{**one, "path": "/x"}, {**one, "path": "/y", "service_port": 81}],
                    },
                    {"host": "b.test", "tls": False, "paths": [{**one, "path": "/"}]},
                ],
            },
            {
                "namespace": "shop",
                "ingress_name": "other",
                "rules": [{"host": "c.test", "tls": False, "paths": [{**one, "path": "/"}]}],
            },
        ],
    }


def test_an_empty_sync_has_its_list() -> None:
    assert json.loads(sync_body([], TUNNEL))["ingresses"] == []


def test_what_the_load_balancer_does_not_serve_is_marked_in_a_direct_message() -> None:
    elsewhere = spec("b.test", source="b", tunnel_only=True)
    body = json.loads(sync_body([spec(), elsewhere], DIRECT))
    assert (body["routing_mode"], body["public_endpoint"]) == ("direct", "203.0.113.45:443")
    assert [each.get("routing_mode") for each in body["ingresses"]] == [None, "tunnel"]
    single = json.loads(register_body(elsewhere, DIRECT))
    assert single["routing_mode"] == "tunnel"
    assert "public_endpoint" not in single


def test_a_route_of_gateway_api_says_what_it_is() -> None:
    route = spec()
    other = type(route)(
        key=route.key,
        source=Source("HTTPRoute", "shop", "web"),
        namespace="shop",
        service="web",
        port=80,
    )
    assert json.loads(sync_body([other], TUNNEL))["ingresses"][0]["kind"] == "HTTPRoute"


def test_unregister_names_the_whole_host_and_whose_it_is() -> None:
    assert json.loads(unregister_body("a.test", TUNNEL)) == {
        "hostname": "a.test",
        "cluster_uuid": "c-1",
    }
