"""From HTTPRoutes and GRPCRoutes to routes, and what a path cannot say."""

from typing import Any

import pytest

from pipeops.agent.ingress.gateway_api import translate_route
from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress_settings import ServiceName
from tests.unit.agent.ingress.making import Known, gateway, grpc_route, http_route, service

WEB = Known(service())
REF = {"name": "web", "port": 80}
RULE = {"backendRefs": [REF]}
EDGE = [{"name": "edge"}]


def listener(name: str, hostname: str = "", protocol: str = "HTTP") -> dict[str, str]:
    return {"name": name, "hostname": hostname, "protocol": protocol}


def shown(route: Any, gateways: Any = (), publishing: Publishing | None = None) -> Any:
    found = translate_route(route, WEB, Known(*gateways), publishing or Publishing())
    routes = [
        (r.key.host, r.key.path, r.key.path_type.value, f"{r.namespace}/{r.service}:{r.port}")
        for r in found.routes
    ]
    return routes, list(found.remarks)


def http_match(**match: Any) -> Any:
    return http_route({"matches": [match], **RULE})


def grpc_match(**method: str) -> Any:
    return grpc_route({"matches": [{"method": method}], **RULE})


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (http_route(RULE), ("/", "Prefix")),
        (http_match(path={"type": "PathPrefix", "value": "/x"}), ("/x", "Prefix")),
        (http_match(path={"type": "Exact", "value": "/x"}), ("/x", "Exact")),
        (http_match(path={"value": "/x"}), ("/x", "Prefix")),
        (grpc_route(RULE), ("/", "Prefix")),
        (grpc_match(service="a.B", method="C"), ("/a.B/C", "Exact")),
        (grpc_match(service="a.B"), ("/a.B", "Prefix")),
    ],
)
def test_paths(route: Any, expected: tuple[str, str]) -> None:
    assert shown(route) == ([("a.test", *expected, "shop/web:80")], [])


@pytest.mark.parametrize(
    ("route", "why"),
    [
        (http_match(path={"type": "RegularExpression", "value": "/x.*"}), "pattern"),
        (http_match(headers=[{"name": "x", "value": "y"}]), "headers"),
        (http_match(queryParams=[{"name": "x", "value": "y"}]), "query"),
        (http_match(method="POST"), "method"),
        (grpc_match(type="RegularExpression", service="a.*"), "pattern"),
        (grpc_match(method="C"), "without its service"),
        (http_route({"filters": [{"type": "RequestRedirect"}], **RULE}), "RequestRedirect"),
        (http_route({"filters": [{"type": "ExtensionRef"}], **RULE}), "ExtensionRef"),
        (http_route({}), "no backend"),
        (http_route({"backendRefs": [{**REF, "weight": 0}]}), "weight 0"),
        (http_route({"backendRefs": [{**REF, "kind": "Bucket", "group": "x"}]}), "Bucket"),
        (http_route({"backendRefs": [{**REF, "namespace": "other"}]}), "another namespace"),
        (http_route({"backendRefs": [{"name": "web"}]}), "no port"),
        (http_route({"backendRefs": [{**REF, "filters": [{"type": "x"}]}]}), "filters"),
        (http_route(RULE, hosts=()), "without a host"),
    ],
)
def test_what_is_not_published_says_why(route: Any, why: str) -> None:
    routes, remarks = shown(route)
    assert routes == []
    assert len(remarks) == 1
    assert why in remarks[0]


def test_its_own_gateways_rules_hold_where_requests_go_through_it() -> None:
    publishing = Publishing(through_controller=True, controller=ServiceName("t", "traefik", 80))
    guarded = http_route(
        {"matches": [{"method": "POST"}], "filters": [{"type": "ExtensionRef"}], **RULE}
    )
    assert shown(guarded, publishing=publishing)[0] == [("a.test", "/", "Prefix", "t/traefik:80")]
    nowhere = Publishing(through_controller=True)
    assert "ingress_service" in shown(guarded, publishing=nowhere)[1][0]


def test_of_several_backends_the_heaviest_is_used_and_that_is_said() -> None:
    refs = [{**REF, "weight": 1}, {"name": "canary", "port": 81, "weight": 9}]
    routes, remarks = shown(http_route({"backendRefs": refs}))
    assert routes == [("a.test", "/", "Prefix", "shop/canary:81")]
    assert "only canary" in remarks[0]
    idle = [REF, {"name": "canary", "port": 81, "weight": 0}]
    assert shown(http_route({"backendRefs": idle}))[1] == []


@pytest.mark.parametrize(
    ("hosts", "listeners", "expected"),
    [
        (("a.test",), [listener("x")], ["a.test"]),
        (("a.test",), [listener("x", "a.test")], ["a.test"]),
        (("a.test",), [listener("x", "*.test")], ["a.test"]),
        (("a.b.test",), [listener("x", "*.test")], ["a.b.test"]),
        (("*.b.test",), [listener("x", "*.test")], ["*.b.test"]),
        (("*.test",), [listener("x", "a.test")], ["a.test"]),
        (("a.test",), [listener("x", "b.test")], []),
        (("test",), [listener("x", "*.test")], []),
        ((), [listener("x", "A.test"), listener("y", "b.test")], ["a.test", "b.test"]),
        (("a.test", "b.test"), [listener("x", "b.test")], ["b.test"]),
        (("a.test",), [listener("x", "", "TCP")], []),
    ],
)
def test_hosts_are_those_that_a_listener_admits(hosts: Any, listeners: Any, expected: Any) -> None:
    route = http_route(RULE, hosts=hosts, parentRefs=EDGE)
    routes, remarks = shown(route, [gateway(*listeners)])
    assert [each[0] for each in routes] == expected
    assert bool(remarks) is not bool(expected)


def test_a_section_name_chooses_the_listener() -> None:
    route = http_route(RULE, hosts=(), parentRefs=[{"name": "edge", "sectionName": "y"}])
    listeners = [listener("x", "a.test"), listener("y", "b.test")]
    assert [each[0] for each in shown(route, [gateway(*listeners)])[0]] == ["b.test"]


def test_a_gateway_that_is_not_known_limits_nothing_and_is_remembered() -> None:
    route = http_route(RULE, parentRefs=[{"name": "edge", "namespace": "infra"}])
    found = translate_route(route, WEB, Known(), Publishing())
    assert [each.key.host for each in found.routes] == ["a.test"]
    assert found.gateways == {("infra", "edge")}
    assert found.services == {("shop", "web")}


def test_parents_of_other_kinds_are_nobodys_gateway() -> None:
    mesh = http_route(RULE, parentRefs=[{"group": "", "kind": "Service", "name": "web"}])
    assert translate_route(mesh, WEB, Known(), Publishing()).gateways == frozenset()


@pytest.mark.parametrize(
    ("protocols", "tls"),
    [(["HTTP"], False), (["HTTPS"], True), (["HTTP", "HTTPS"], False), (["HTTPS", "TLS"], True)],
)
def test_tls_is_what_every_listener_has(protocols: list[str], tls: bool) -> None:
    listeners = [listener(f"l{n}", "", protocol) for n, protocol in enumerate(protocols)]
    route = http_route(RULE, parentRefs=EDGE)
    (found,) = translate_route(route, WEB, Known(gateway(*listeners)), Publishing()).routes
    assert found.tls is tls


def test_the_scope_holds_here_too() -> None:
    route = http_route(RULE)
    assert shown(route, publishing=Publishing(managed_only=True)) == ([], [])
    route.metadata.annotations = {"pipeops.io/managed-by": "pipeops"}
    assert shown(route, publishing=Publishing(managed_only=True))[0]


def test_the_kind_is_told_and_the_load_balancer_is_not_its_own() -> None:
    for route, kind in ((http_route(RULE), "HTTPRoute"), (grpc_route(RULE), "GRPCRoute")):
        (found,) = translate_route(route, WEB, Known(), Publishing()).routes
        assert str(found.source) == f"{kind} shop/web"
        assert found.tunnel_only
