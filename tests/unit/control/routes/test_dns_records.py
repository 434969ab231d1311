"""Which records a host should have: to its load balancer, to the gateway, or none that is known."""

from dataclasses import replace

import pytest

from pipeops.control.public_settings import PublicDns
from pipeops.control.routes.dns_records import records_of
from pipeops.control.routes.route import RoutingMode

GATEWAY = PublicDns(("198.51.100.1", "2001:db8::1"), 60)


def told(routes, dns=GATEWAY):
    return [
        (record.type and record.type.value, record.value, record.mode.value)
        for record in records_of({routes[0].key.host: routes}, dns)
    ]


def direct(route, endpoint, **more):
    return replace(route(**more), mode=RoutingMode.DIRECT, public_endpoint=endpoint)


def test_tunnel_hosts_lead_to_the_gateway(route):
    assert told([route()]) == [("A", "198.51.100.1", "tunnel"), ("AAAA", "2001:db8::1", "tunnel")]
    assert told([route()], PublicDns(("gateway.example.net",))) == [
        ("CNAME", "gateway.example.net", "tunnel")
    ]
    [one, two] = records_of({"*.example.com": [route("*.example.com")], "": [route("")]}, GATEWAY)
    assert (one.name, one.ttl, one.cluster) == ("*.example.com", 60, "one")
    assert "tunnel" in one.reason
    assert two.name == one.name


def test_a_gateway_whose_address_nobody_told_is_said_to_be_unknown(route):
    [record] = records_of({"app.example.com": [route()]}, PublicDns())
    assert (record.type, record.value, record.mode) == (None, None, RoutingMode.TUNNEL)
    assert "--public-dns-target" in record.reason


@pytest.mark.parametrize(
    ("endpoint", "record"),
    [
        ("8.8.8.8:443", ("A", "8.8.8.8")), ("8.8.8.8:80", ("A", "8.8.8.8")),
        ("[2606:4700::1]:443", ("AAAA", "2606:4700::1")), ("Lb.Example.NET.:443", ("CNAME", "lb.example.net")),
    ],
)  # fmt: skip
def test_direct_hosts_lead_to_their_load_balancer(route, endpoint, record):
    assert told([direct(route, endpoint), direct(route, endpoint, path="/b")]) == [
        (*record, "direct")
    ]


@pytest.mark.parametrize(
    ("endpoint", "more", "why"),
    [
        ("8.8.8.8:8443", {}, "port 8443"), ("8.8.8.8:80", {"tls": True}, "no TLS"), ("10.0.0.1:443", {}, "not one of the internet"),
        ("8.8.8.8:443", {"annotations": {"pipeops.io/direct": "proxy"}}, "wants the gateway"),
    ],
)  # fmt: skip
def test_what_a_record_cannot_say_is_for_the_gateway(route, endpoint, more, why):
    [record] = records_of(
        {"app.example.com": [direct(route, endpoint, **more)]}, PublicDns(("g.example.net",))
    )
    assert (record.value, record.mode) == ("g.example.net", RoutingMode.TUNNEL)
    assert why in record.reason


def test_hosts_with_several_ways_are_for_the_gateway(route):
    for other in (route(path="/b"), direct(route, "8.8.4.4:443", path="/b")):
        [record] = records_of(
            {"app.example.com": [direct(route, "8.8.8.8:443"), other]},
            PublicDns(("g.example.net",)),
        )
        assert record.mode is RoutingMode.TUNNEL
        assert "different places" in record.reason


def test_private_load_balancers_count_where_they_may_be_dialled(route):
    dns = PublicDns(GATEWAY.targets, private=True)
    assert told([direct(route, "10.0.0.1:443")], dns) == [("A", "10.0.0.1", "direct")]


def test_no_name_leads_to_itself(route):
    [record] = records_of({"app.example.com": [direct(route, "app.example.com:443")]}, GATEWAY)
    assert (record.type, record.mode) == (None, RoutingMode.DIRECT)
    assert "its owner" in record.reason
    [record] = records_of({"app.example.com": [route()]}, PublicDns(("app.example.com",)))
    assert (record.type, record.mode) == (None, RoutingMode.TUNNEL)
    assert "its owner" in record.reason


@pytest.mark.parametrize(
    "endpoint",
    [".:443", "a..b:443", "-:443", "-a.example.net:443", f"{'a' * 64}.example.net:443", "999.1.1.1:443", "1.2.3:443", "[:.:]:443", "[1:2]:443"],
)  # fmt: skip
def test_what_is_neither_an_address_nor_a_name_stands_in_no_record(route, endpoint):
    """A server refuses a whole zone for one line that it cannot read: the other tenants' records with it."""
    [record] = records_of({"app.example.com": [direct(route, endpoint)]}, PublicDns(("g.example.net",)))  # fmt: skip
    assert (record.value, record.mode) == ("g.example.net", RoutingMode.TUNNEL)
    assert "neither" in record.reason
