"""From an Ingress to routes: every shape that people write."""

from typing import Any

import pytest

from pipeops.agent.ingress.rules import Publishing
from pipeops.agent.ingress.translate import ingress_class, translate
from pipeops.agent.ingress_settings import ServiceName
from tests.unit.agent.ingress.making import Known, backend, ingress, path, rule, service

WEB = Known(service(ports=(("http", 8080), ("grpc", 9090))))


def routes(
    *rules: Any, services: Any = WEB, publishing: Publishing | None = None, **more: Any
) -> Any:
    found = translate(ingress(*rules, **more), services, publishing or Publishing())
    shown = [
        (r.key.host, r.key.path, r.key.path_type.value, f"{r.namespace}/{r.service}:{r.port}")
        for r in found.routes
    ]
    return shown, list(found.remarks)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("a.test")], [("a.test", "/", "Prefix", "shop/web:80")]),
        ([rule("A.Test.")], [("a.test", "/", "Prefix", "shop/web:80")]),
        ([rule("*.a.test")], [("*.a.test", "/", "Prefix", "shop/web:80")]),
        (
            [rule("a.test", path("/x", "Exact"), path("/y", "Prefix"), path("/z", "ImplementationSpecific"))],
            [
                ("a.test", "/x", "Exact", "shop/web:80"),
                ("a.test", "/y", "Prefix", "shop/web:80"),
                ("a.test", "/z", "ImplementationSpecific", "shop/web:80"),
            ],
        ),
        ([rule("a.test", path("", "ImplementationSpecific"))], [("a.test", "/", "ImplementationSpecific", "shop/web:80")]),
        ([rule("a.test", path("/*", "ImplementationSpecific"))], [("a.test", "/", "ImplementationSpecific", "shop/web:80")]),
        ([rule("a.test", path("/v/*", "ImplementationSpecific"))], [("a.test", "/v", "ImplementationSpecific", "shop/web:80")]),
        ([rule("a.test", path("/*", "Prefix"))], [("a.test", "/*", "Prefix", "shop/web:80")]),
        ([rule("a.test", path("/", ""))], [("a.test", "/", "Prefix", "shop/web:80")]),
        ([rule("a.test", path(port="http"))], [("a.test", "/", "Prefix", "shop/web:8080")]),
        ([rule("a.test", path(port="grpc"))], [("a.test", "/", "Prefix", "shop/web:9090")]),
        # A Service that does not exist yet answers 503, as behind any controller.
        ([rule("a.test", path(service="later"))], [("a.test", "/", "Prefix", "shop/later:80")]),
        ([{"host": "a.test"}], []),
        # The same key twice: the first counts.
        (
            [rule("a.test", path(port=1)), rule("a.test", path(port=2))],
            [("a.test", "/", "Prefix", "shop/web:1")],
        ),
    ],
)  # fmt: skip
def test_rules(rules: Any, expected: Any) -> None:
    assert routes(*rules) == (expected, [])


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([rule("")], "without a host"),
        ([rule("a b.test")], "no host name"),
        ([rule("*.*.test")], "no host name"),
        ([rule("*")], "no host name"),
        ([rule("x" * 254)], "no host name"),
        ([rule("a.test", path("x"))], "no path"),
        ([rule("a.test", path("/ "))], "no path"),
        ([rule("a.test", path("/\r\nX: y"))], "no path"),
        ([rule("a.test", path("/" + "x" * 2048))], "no path"),
        ([rule("a.test", path("/x(/|$)(.*)", "ImplementationSpecific"))], "pattern"),
        ([rule("a.test", path("/", "Regex"))], "not known"),
        ([rule("a.test", path(port="nope"))], "no port named 'nope'"),
        ([rule("a.test", path(service="later", port="http"))], "there is no Service later"),
        ([rule("a.test", path(port=0))], "no port of the Service web"),
        ([rule("a.test", {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web"}}})], "no port"),
        (
            [rule("a.test", {"path": "/", "backend": {"resource": {"kind": "Bucket", "name": "b"}}})],
            "a resource, not a Service",
        ),
        ([rule("a.test", {"path": "/", "backend": {}})], "missing"),
    ],
)  # fmt: skip
def test_what_is_not_published_says_why(rules: Any, why: str) -> None:
    found, remarks = routes(*rules)
    assert found == []
    assert len(remarks) == 1
    assert why in remarks[0]


@pytest.mark.parametrize(
    ("known", "namespace", "why"),
    [
        (service(kind="ExternalName"), "shop", "ExternalName"),
        (service(namespace="kube-system"), "kube-system", "never published"),
        (service("kubernetes", "default"), "default", "Kubernetes API"),
    ],
)
def test_services_that_are_never_published(known: Any, namespace: str, why: str) -> None:
    found, remarks = routes(
        rule("a.test", path(service=known.metadata.name)),
        services=Known(known),
        meta_namespace=namespace,
    )
    assert (found, len(remarks)) == ([], 1)
    assert why in remarks[0]


def test_services_of_every_other_type_are() -> None:
    for kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        assert routes(rule(), services=Known(service(kind=kind)))[0]


def test_one_bad_path_leaves_the_others() -> None:
    found, remarks = routes(rule("a.test", path("bad"), path("/good")))
    assert [route[1] for route in found] == ["/good"]
    assert len(remarks) == 1


def test_the_default_backend_answers_what_no_rule_of_its_hosts_does() -> None:
    found, remarks = routes(
        rule("a.test", path("/x", "Exact")),
        rule("b.test"),
        {"host": "c.test"},
        defaultBackend=backend(port=81),
    )
    assert [(host, at, target) for host, at, _, target in found] == [
        ("a.test", "/x", "shop/web:80"),
        ("b.test", "/", "shop/web:80"),
        ("a.test", "/", "shop/web:81"),
        ("c.test", "/", "shop/web:81"),
    ]
    assert remarks == []


def test_a_default_backend_alone_has_no_host() -> None:
    assert routes(defaultBackend=backend())[0] == []
    found, _ = routes(defaultBackend=backend(), publishing=Publishing(hostless=True))
    assert found == [("", "/", "Prefix", "shop/web:80")]


def test_a_rule_without_host_is_published_where_that_is_wanted() -> None:
    found, remarks = routes(rule(""), publishing=Publishing(hostless=True))
    assert (found, remarks) == ([("", "/", "Prefix", "shop/web:80")], [])


@pytest.mark.parametrize(
    ("tls", "host", "expected"),
    [
        (None, "a.test", False),
        ([{"hosts": ["a.test"]}], "a.test", True),
        ([{"hosts": ["A.TEST"]}], "a.test", True),
        ([{"hosts": ["b.test"]}], "a.test", False),
        ([{"hosts": ["*.test"]}], "a.test", True),
        ([{"hosts": ["*.test"]}], "x.a.test", False),
        ([{"hosts": ["*.a.test"]}], "*.a.test", True),
        ([{"hosts": ["*.test"]}], "*.a.test", False),
        ([{"hosts": []}], "a.test", True),
        ([{"secretName": "s"}], "a.test", True),
    ],
)
def test_tls_is_said_of_each_host(tls: Any, host: str, expected: bool) -> None:
    (route,) = translate(ingress(rule(host), tls=tls), WEB, Publishing()).routes
    assert route.tls is expected


def test_the_class_is_the_member_or_the_annotation_of_old() -> None:
    old = {"kubernetes.io/ingress.class": "old"}
    assert ingress_class(ingress(ingressClassName="new", meta_annotations=old)) == "new"
    assert ingress_class(ingress(meta_annotations=old)) == "old"
    assert ingress_class(ingress()) == ""


def test_only_the_wanted_classes_are_published() -> None:
    publishing = Publishing(classes=frozenset({"nginx"}))
    assert routes(rule(), ingressClassName="nginx", publishing=publishing)[0]
    assert routes(rule(), ingressClassName="other", publishing=publishing) == ([], [])
    assert routes(rule(), publishing=publishing) == ([], [])


@pytest.mark.parametrize(
    ("about", "managed"),
    [
        ({}, False),
        ({"meta_labels": {"pipeops.io/managed": "true"}}, True),
        ({"meta_labels": {"pipeops.io/managed": "True"}}, False),
        ({"meta_annotations": {"pipeops.io/managed-by": "pipeops"}}, True),
        ({"meta_annotations": {"pipeops.io/managed-by": "x"}}, False),
    ],
)
def test_the_scope_can_be_narrowed_to_what_is_marked(about: Any, managed: bool) -> None:
    assert bool(routes(rule(), publishing=Publishing(managed_only=True), **about)[0]) is managed
    assert routes(rule(), **about)[0]


def test_through_the_controller_every_route_goes_to_its_service() -> None:
    publishing = Publishing(
        through_controller=True, controller=ServiceName("traefik", "traefik", 8000)
    )
    guarded = {"nginx.ingress.kubernetes.io/auth-url": "https://sso.test"}
    found, remarks = routes(rule(), publishing=publishing, meta_annotations=guarded)
    assert (found, remarks) == ([("a.test", "/", "Prefix", "traefik/traefik:8000")], [])


def test_through_a_controller_that_was_not_found_nothing_goes() -> None:
    found, remarks = routes(rule(), publishing=Publishing(through_controller=True))
    assert found == []
    assert "gateway_proxy.ingress_service" in remarks[0]


def test_what_a_controller_guards_is_not_published_around_it() -> None:
    guarded = {"nginx.ingress.kubernetes.io/auth-url": "https://sso.test"}
    found, remarks = routes(rule(), meta_annotations=guarded)
    assert found == []
    assert "auth-url" in remarks[0]
    assert "gateway_proxy.target" in remarks[0]


def test_ownership_and_age_go_with_every_route() -> None:
    annotations = {
        "pipeops.io/owner": "app",
        "pipeops.io/environment": "production",
        "other/x": "y",
    }
    given = ingress(
        rule(), meta_annotations=annotations, meta_creationTimestamp="2026-01-01T00:00:00Z"
    )
    (route,) = translate(given, WEB, Publishing()).routes
    assert route.annotations == {"pipeops.io/owner": "app", "pipeops.io/environment": "production"}
    assert (route.deployment_id, route.deployment_name) == ("production:app", "app")
    assert route.created == "2026-01-01T00:00:00Z"


def test_the_services_that_were_looked_at_are_told_also_of_refused_paths() -> None:
    given = ingress(rule("a.test", path(service="x", port="http"), path("/y", service="y")))
    found = translate(given, Known(), Publishing())
    assert found.services == {("shop", "x"), ("shop", "y")}


@pytest.mark.parametrize(
    ("status", "tunnel_only"),
    [
        (None, False),
        ([{"ip": "203.0.113.9"}], False),
        ([{"ip": "198.51.100.1"}], True),
        ([{"hostname": "LB.test"}], False),
        ([{"hostname": "other.test"}, {"ip": "203.0.113.9"}], False),
    ],
)
def test_an_ingress_that_is_served_elsewhere_stays_in_the_tunnel(
    status: Any, tunnel_only: bool
) -> None:
    publishing = Publishing(balancer=frozenset({"203.0.113.9", "lb.test"}))
    given = ingress(rule(), status={"loadBalancer": {"ingress": status}})
    (route,) = translate(given, WEB, publishing).routes
    assert route.tunnel_only is tunnel_only
