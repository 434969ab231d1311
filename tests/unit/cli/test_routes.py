"""`pipeops routes`."""

import json

import pytest


def route(**more):
    return {
        "host": "app.example.com", "path": "/", "path_type": "Prefix", "cluster": "prod", "namespace": "shop",
        "service": "web", "port": 80, "tls": True, "ingress": "shop/web", "mode": "tunnel", "public_endpoint": "",
        "status": "active", "problem": "", "hint": "", **more,
    }  # fmt: skip


@pytest.mark.parametrize("command", [("routes",), ("routes", "list")])
def test_the_list_shows_service_and_state(pipeops, control, command):
    items = [
        route(),
        route(path="/warned", warnings=["pipeops.io/idle-timeout: ignored"]),
        route(path="/x", path_type="Exact", status="offline", problem="no agent is connected"),
    ]
    control.on("GET", "/api/v1/routes", {"items": items, "next": None})
    code, out, _ = pipeops(*command)
    assert code == 0
    assert "web.shop:80" in out
    assert "/ …" in out
    assert "active; pipeops.io/idle-timeout: ignored" in " ".join(out.split())
    assert "offline: no agent is connected" in out


def test_one_clusters_routes_page_after_page(pipeops, control):
    control.on("GET", "/api/v1/routes?cluster=prod", {"items": [route()], "next": "a / b"})
    more = "/api/v1/routes?cluster=prod&after=a+%2F+b"
    control.on("GET", more, {"items": [route(host="b.example.com")], "next": None})
    out = pipeops("routes", "list", "--cluster", "prod", "-o", "json")[1]
    assert json.loads(out) == [route(), route(host="b.example.com")]


def test_no_routes_say_how_to_get_some(pipeops, control):
    control.on("GET", "/api/v1/routes", {"items": [], "next": None})
    code, out, err = pipeops("routes")
    assert (code, out) == (0, "")
    assert "ENABLE_INGRESS_SYNC" in err


def record(**more):
    return {
        "name": "app.example.com", "type": "A", "value": "198.51.100.1", "ttl": 300, "mode": "tunnel", "reason": "so",
        "cluster": "prod", **more,
    }  # fmt: skip


def test_dns_records_are_zone_lines_json_or_an_object_of_external_dns(pipeops, control):
    control.on("GET", "/api/v1/gateway/dns", {"items": [record()], "next": None})
    code, out, err = pipeops("routes", "dns")
    assert (code, out.split()[:5], err) == (0, ["app.example.com.", "300", "IN", "A", "198.51.100.1"], "")  # fmt: skip
    assert json.loads(pipeops("routes", "dns", "-o", "json")[1]) == [record()]
    document = json.loads(pipeops("routes", "dns", "-o", "external-dns")[1])
    assert document["spec"]["endpoints"][0]["targets"] == ["198.51.100.1"]


def test_what_is_not_known_is_said(pipeops, control):
    unknown = record(type=None, value=None)
    control.on("GET", "/api/v1/gateway/dns?cluster=prod", {"items": [unknown], "next": None})
    code, out, err = pipeops("routes", "dns", "--cluster", "prod")
    assert (code, out) == (0, "; app.example.com. not known: so\n")
    assert "of 1 hosts" in err
    control.on("GET", "/api/v1/gateway/dns", {"items": [], "next": None})
    assert pipeops("routes", "dns")[1:] == ("", "no host is served\n")
