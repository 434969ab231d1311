"""Hosts and paths by the Ingress specification."""

import time
from dataclasses import replace

import pytest

from pipeops.control.routes.route import PathType, Route, RouteKey
from pipeops.control.routes.table import RouteTable, RouteTaken

EXACT, PREFIX, SPECIFIC = PathType


def route(host="app.example.com", path="/", path_type=PREFIX, cluster="edge", service="app"):
    return Route(RouteKey(host, path, path_type), cluster, "default", service, 80)


# The table of "Examples" in the Kubernetes documentation of Ingress.
@pytest.mark.parametrize(
    ("path_type", "path", "requested", "matches"),
    [
        (PREFIX, "/", "/any/path", True),
        (EXACT, "/foo", "/foo", True),
        (EXACT, "/foo", "/bar", False),
        (EXACT, "/foo", "/foo/", False),
        (EXACT, "/foo/", "/foo", False),
        (PREFIX, "/foo", "/foo", True),
        (PREFIX, "/foo", "/foo/", True),
        (PREFIX, "/foo/", "/foo", True),
        (PREFIX, "/foo/", "/foo/", True),
        (PREFIX, "/aaa/bb", "/aaa/bbb", False),
        (PREFIX, "/aaa/bbb", "/aaa/bbb", True),
        (PREFIX, "/aaa/bbb/", "/aaa/bbb", True),
        (PREFIX, "/aaa/bbb", "/aaa/bbb/", True),
        (PREFIX, "/aaa/bbb", "/aaa/bbb/ccc", True),
        (PREFIX, "/aaa/bbb", "/aaa/bbbxyz", False),
        (SPECIFIC, "/aaa", "/aaa/b", True),
        (SPECIFIC, "/aaa", "/aaab", False),
        (PREFIX, "/", "*", False),
        (PREFIX, "/", "", True),
    ],
)
def test_the_path_types(path_type, path, requested, matches):
    table = RouteTable([route(path=path, path_type=path_type)])
    assert (table.match("app.example.com", requested) is not None) == matches


def test_of_several_paths_exact_comes_first_and_then_the_longest():
    table = RouteTable(
        [
            route(path="/", service="root"),
            route(path="/foo", service="foo"),
            route(path="/foo/bar", service="longest"),
            route(path="/foo/bar", path_type=EXACT, service="exact"),
            route(path="/foo/bar", path_type=SPECIFIC, service="specific"),
        ]
    )
    assert [
        table.match("app.example.com", path).service
        for path in ("/foo/bar", "/foo/bar/x", "/foo/barx", "/fo")
    ] == ["exact", "longest", "foo", "root"]


def test_a_trailing_slash_breaks_the_tie_of_equal_elements():
    table = RouteTable([route(path="/a", service="bare"), route(path="/a/", service="slash")])
    assert table.match("app.example.com", "/a/b").service == "slash"
    table.remove(RouteKey("app.example.com", "/a/", PREFIX))
    assert table.match("app.example.com", "/a/b").service == "bare"


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("app.example.com", "exact"),
        ("APP.example.com:8443", "exact"),
        ("app.example.com.", "exact"),
        ("other.example.com", "wildcard"),
        ("Other.Example.Com.:80", "wildcard"),
        ("a.b.example.com", None),
        ("example.com", None),
        ("*.example.com", None),
        (".example.com", None),
        ("", None),
        ("[::1]:80", None),
    ],
)
def test_an_exact_host_before_a_wildcard_of_one_label(host, service):
    table = RouteTable([route(service="exact"), route("*.example.com", service="wildcard")])
    found = table.match(host, "/")
    assert (found.service if found else None) == service
    assert table.knows_host(host) == (service is not None)


def test_an_exact_host_without_the_path_does_not_fall_to_the_wildcard():
    table = RouteTable([route(path="/app"), route("*.example.com", cluster="other")])
    assert table.match("app.example.com", "/else") is None
    assert table.knows_host("app.example.com")


def test_a_clusters_routes_are_replaced_together():
    table = RouteTable([route(path="/old"), route("theirs.example.com", cluster="other")])
    kept = route(path="/kept")
    table.replace("edge", [kept, route("b.example.com")])
    assert {each.key.host for each in table} == {
        "app.example.com",
        "b.example.com",
        "theirs.example.com",
    }
    assert table.match("app.example.com", "/old") is None
    assert table.of_cluster("edge") == (kept, route("b.example.com"))
    table.replace("edge", [])
    assert table.of_cluster("edge") == ()
    assert not table.knows_host("app.example.com")
    assert table.hosts() == ("theirs.example.com",)


def test_no_cluster_takes_anothers_route():
    mine = route()
    table = RouteTable([mine])
    with pytest.raises(RouteTaken, match=r"app.example.com/ is another cluster's"):
        table.put(replace(mine, cluster="other"))
    with pytest.raises(RouteTaken):
        table.replace("other", [route("new.example.com", cluster="other"), replace(mine, cluster="other")])  # fmt: skip
    with pytest.raises(ValueError, match="among those of"):
        table.replace("other", [mine])
    assert list(table) == [mine]


def test_a_route_is_changed_in_place_and_removed():
    table = RouteTable([route(service="old")])
    table.put(route(service="new"))
    assert len(table) == 1
    assert table.match("app.example.com", "/x").service == "new"
    assert table.get(route().key) == route(service="new")
    assert table.of_host("app.example.com") == (route(service="new"),)
    assert table.remove(route().key) == route(service="new")
    assert table.remove(route().key) is None
    assert (len(table), table.match("app.example.com", "/")) == (0, None)
    assert table.of_host("app.example.com") == ()


def test_a_match_does_not_depend_on_the_number_of_routes_or_slashes():
    table = RouteTable(
        [route(f"h{number}.example.com", path) for number in range(5000) for path in ("/", "/a/b")]
    )
    hostile = "/a" + "/" * 100_000
    started = time.perf_counter()
    for _ in range(1000):
        assert table.match("H4999.example.com:443", hostile).key.path == "/"
    # A scan over routes or slashes would need a thousand times as long.
    assert time.perf_counter() - started < 1.0


def test_routes_without_a_host_answer_hosts_that_no_route_names_as_far_as_they_may():
    hostless = route("", "/", service="any")
    asked = []

    def may(cluster, host):
        asked.append((cluster, host))
        return host != "forbidden.example.com"

    table = RouteTable([hostless, route(path="/only"), route("*.wild.example.com", "/w")], may)
    assert table.match("App.example.net:80", "/x") is hostless
    assert asked == [("edge", "app.example.net")]
    assert table.match("192.0.2.1", "/") is hostless
    for host in (
        "app.example.com",
        "a.wild.example.com",
        "forbidden.example.com",
        "",
        "*",
        "*.x.y",
    ):
        assert table.match(host, "/x") is None
    assert not table.knows_host("forbidden.example.com")
    assert table.of_host("") == (hostless,)
    table.remove(hostless.key)
    assert table.match("192.0.2.1", "/") is None
