"""What a cluster asks for, and how that changes."""

from pipeops.control.routes.ownership import Reason, Refusal
from pipeops.control.routes.wanted import ClusterRef, Wanted, difference, left_hosts

REF = ClusterRef("id", "one")


def test_routes_are_counted_once(route):
    wanted = Wanted(REF)
    wanted.put(route())
    wanted.put(route(service="new"))
    wanted.put(route(path="/a"))
    assert (wanted.count, wanted.get(route().key)) == (2, route(service="new"))
    assert list(wanted.routes()) == [route(service="new"), route(path="/a")]
    wanted.remove(route().key)
    wanted.remove(route().key)
    wanted.remove(route("other.example.com").key)
    assert wanted.count == 1


def test_the_last_route_of_a_host_takes_its_refusal_along(route):
    wanted = Wanted(REF)
    wanted.put(route())
    wanted.refused["app.example.com"] = Refusal("app.example.com", Reason.TAKEN)
    wanted.remove(route().key)
    assert (wanted.refused, wanted.hosts) == ({}, {})


def test_the_difference_names_changed_routes_on_both_sides(route):
    wanted = Wanted(REF)
    same, changed, gone = route(), route(path="/a"), route(path="/b")
    for each in (same, changed, gone):
        wanted.put(each)
    new, now = route(path="/c"), route(path="/a", service="new")
    remove, put, surplus = difference(wanted, [same, now, route(path="/a"), new], 10)
    assert (remove, put, surplus) == ([changed, gone], [now, new], 0)
    assert difference(wanted, [same, new, new, changed], 1) == (
        [changed, gone],
        [],
        3,
    )


def test_a_host_is_left_with_its_last_route(route):
    wanted = Wanted(REF)
    for each in (route(), route(path="/a"), route("b.example.com")):
        wanted.put(each)
    assert left_hosts(wanted, [route()], []) == set()
    assert left_hosts(wanted, [route(), route(path="/a")], []) == {"app.example.com"}
    assert left_hosts(wanted, [route("b.example.com")], [route("b.example.com", "/x")]) == set()
