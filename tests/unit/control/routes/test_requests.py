"""Bodies as Go agents and ours send them."""

import json

import pytest

from pipeops.control.routes.requests import (
    MAX_ANNOTATION,
    MAX_ANNOTATIONS,
    BodyInvalid,
    RegisterBody,
    UnregisterBody,
    decode,
    kept_annotations,
    registered_route,
    wish_of,
)
from pipeops.control.routes.route import PathType, Route, RouteKey, RoutingMode

# As a Go agent sends it, member by member (reference gateway §2.2).
REGISTER = (
    b'{"hostname":"my-app.example.com","cluster_uuid":"c1","namespace":"pipeops-system","service_name":"traefik",'
    b'"service_port":80,"ingress_name":"my-app","path":"/","path_type":"Prefix","tls":false,'
    b'"annotations":{"pipeops.io/owner":"my-app"},"public_endpoint":"203.0.113.45:443","routing_mode":"direct",'
    b'"deployment_id":"production:my-app","deployment_name":"my-app"}'
)
SYNC = (
    b'{"cluster_uuid":"c1","public_endpoint":"203.0.113.45:443","routing_mode":"direct",'
    b'"ingress_controller":{"name":"traefik","namespace":"pipeops-system","port":80,"type":"traefik"},'
    b'"ingresses":[{"namespace":"default","ingress_name":"my-app","annotations":{},"rules":[{"host":"my-app.example.com",'
    b'"tls":false,"paths":[{"path":"/","path_type":"Prefix","service_name":"traefik","service_port":80}]}]}]}'
)
KEY = RouteKey("my-app.example.com", "/", PathType.PREFIX)


def sync(*paths, **more):
    document = {
        "cluster_uuid": "c1",
        "ingresses": [
            {
                "namespace": "shop",
                "ingress_name": "web",
                "rules": [{"host": "app.example.com", "tls": True, "paths": list(paths)}],
            }
        ],
    }
    return json.dumps(document | more).encode()


def path(**more):
    return {"path": "/", "path_type": "Prefix", "service_name": "web", "service_port": 80} | more


def test_a_go_agents_registration():
    assert registered_route(decode(REGISTER, RegisterBody), "edge") == Route(
        KEY, "edge", "pipeops-system", "traefik", 80,
        ingress="pipeops-system/my-app", mode=RoutingMode.DIRECT, public_endpoint="203.0.113.45:443",
        annotations={"pipeops.io/owner": "my-app"},
    )  # fmt: skip


def test_a_go_agents_sync_means_the_controllers_service_in_the_controllers_namespace():
    wish = wish_of(SYNC, "edge")
    assert (wish.cluster_uuid, wish.rejected) == ("c1", [])
    assert wish.routes == [
        Route(
            KEY, "edge", "pipeops-system", "traefik", 80,
            ingress="default/my-app", mode=RoutingMode.DIRECT, public_endpoint="203.0.113.45:443",
        )
    ]  # fmt: skip


def test_our_sync_means_the_backend_itself():
    controller = {"name": "traefik", "namespace": "pipeops-system", "port": 80, "type": "traefik"}
    [plain] = wish_of(sync(path(), ingress_controller=controller), "edge").routes
    assert (plain.namespace, plain.service, plain.ingress, plain.tls) == ("shop", "web", "shop/web", True)  # fmt: skip
    same_name = path(service_name="traefik", namespace="shop")
    [named] = wish_of(sync(same_name, ingress_controller=controller), "edge").routes
    assert named.namespace == "shop"


@pytest.mark.parametrize("empty", [None, []])
def test_gos_nil_slices_are_empty(empty):
    assert (
        wish_of(json.dumps({"cluster_uuid": "c1", "ingresses": empty}).encode(), "e").routes == []
    )
    ingress = {"namespace": "a", "ingress_name": "b", "annotations": None, "rules": empty}
    assert wish_of(json.dumps({"ingresses": [ingress]}).encode(), "e").routes == []
    ingress["rules"] = [{"host": "a.io", "tls": False, "paths": empty}]
    assert wish_of(json.dumps({"ingresses": [ingress]}).encode(), "e").routes == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"path": "no-slash"}, "begins with"),
        ({"path": "/a b"}, "begins with"),
        ({"path": "/\u00fc"}, "begins with"),
        ({"path": "/a\nb"}, "begins with"),
        ({"path": "/" * 1025}, "1024"),
        ({"path_type": "Regex"}, "path type"),
        ({"service_name": "web.evil"}, "service"),
        ({"service_name": ""}, "service"),
        ({"namespace": "../x"}, "namespace"),
        ({"service_port": 0}, "port"),
        ({"service_port": 70000}, "port"),
    ],
)
def test_one_bad_path_does_not_take_the_others_along(bad, problem):
    wish = wish_of(sync(path(**bad), path(path="/good")), "edge")
    assert [route.key.path for route in wish.routes] == ["/good"]
    assert problem in wish.rejected[0].problem
    assert (wish.rejected[0].host, wish.rejected[0].ingress) == ("app.example.com", "shop/web")


@pytest.mark.parametrize(
    "host", ["*", "10.0.0.1", "a b", "\u212a.example.com", "app.example.com:80"]
)
def test_hosts_that_no_route_has(host):
    with pytest.raises(BodyInvalid):
        registered_route(decode(json.dumps({"hostname": host, "namespace": "a", "service_name": "b", "service_port": 1}).encode(), RegisterBody), "e")  # fmt: skip


def test_of_two_ingresses_with_one_host_and_path_the_first_counts():
    document = json.loads(sync(path()))
    document["ingresses"].append(
        document["ingresses"][0] | {"ingress_name": "copy"},
    )
    document["ingresses"][1]["rules"] = [{"host": "APP.example.com.", "paths": [path(service_name="b")]}]  # fmt: skip
    wish = wish_of(json.dumps(document).encode(), "edge")
    assert [route.service for route in wish.routes] == ["web"]
    assert "shop/web has the same" in wish.rejected[0].problem


@pytest.mark.parametrize(
    ("mode", "endpoint", "direct"),
    [
        ("direct", "lb.example.com:443", True),
        ("direct", "[2001:db8::1]:443", True),
        ("tunnel", "203.0.113.45:443", False),
        ("direct", "", False),
        ("direct", "203.0.113.45", False),
        ("direct", "user@host:443", False),
        ("direct", "host:443/path", False),
        ("direct", "host:99999", False),
        ("", "203.0.113.45:443", False),
    ],
)
def test_direct_needs_an_address(mode, endpoint, direct):
    [route] = wish_of(sync(path(), routing_mode=mode, public_endpoint=endpoint), "edge").routes
    assert (route.mode is RoutingMode.DIRECT) == direct
    assert route.public_endpoint == (endpoint if direct else "")


def test_one_ingress_may_go_through_the_tunnel_while_others_are_direct():
    document = json.loads(sync(path(), routing_mode="direct", public_endpoint="lb.io:443"))
    document["ingresses"].append(document["ingresses"][0] | {"ingress_name": "b", "routing_mode": "tunnel", "rules": [{"host": "b.io", "paths": [path()]}]})  # fmt: skip
    modes = [route.mode for route in wish_of(json.dumps(document).encode(), "edge").routes]
    assert modes == [RoutingMode.DIRECT, RoutingMode.TUNNEL]


def test_annotations_are_those_of_the_allow_list_and_bounded():
    kept = kept_annotations(
        {
            "pipeops.io/owner": "me",
            "kubernetes.io/ingress.class": "nginx",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "secret.example.com/password": "hunter2",
            "nginx.ingress.kubernetes.io/long": "x" * (MAX_ANNOTATION + 1),
        }
    )
    assert kept == {"pipeops.io/owner": "me", "kubernetes.io/ingress.class": "nginx"}
    many = kept_annotations({f"pipeops.io/{number:03}": "x" * 1000 for number in range(100)})
    assert sum(len(key) + len(value) for key, value in many.items()) <= MAX_ANNOTATIONS
    assert list(many) == [f"pipeops.io/{number:03}" for number in range(len(many))]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"hostname":1}', b'{"hostname":"\xff"}', b'{"namespace":"a"}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_body_is_one_sentence(body):
    with pytest.raises(BodyInvalid, match="cannot be used"):
        decode(body, UnregisterBody)


def test_unregister_takes_a_go_agents_body_and_ours():
    assert decode(b'{"hostname":"a.io"}', UnregisterBody) == UnregisterBody(hostname="a.io")
    ours = b'{"hostname":"a.io","cluster_uuid":"c","path":"/x","ingress_name":"i","namespace":"n","later":1}'
    assert decode(ours, UnregisterBody).ingress_name == "i"
