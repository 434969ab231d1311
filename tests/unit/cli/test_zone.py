"""DNS records as name servers and external-dns read them."""

import json

import dns.zone

from pipeops.cli.zone import dns_endpoint, zone_lines


def record(name, kind, value, **more):
    return {
        "name": name, "type": kind, "value": value, "ttl": 300, "mode": "tunnel", "reason": "so", "cluster": "one", **more,
    }  # fmt: skip


RECORDS = [
    record("*.apps.example.com", "CNAME", "gateway.example.net"),
    record("app.example.com", "A", "198.51.100.1"),
    record("app.example.com", "A", "198.51.100.2"),
    record("app.example.com", "AAAA", "2001:db8::1", mode="direct", ttl=60),
    record("lost.example.com", None, None, reason="not\nlost.example.com. 1 IN A 10.0.0.1"),
]


def test_a_name_server_reads_the_lines():
    lines = zone_lines(RECORDS)
    assert len(lines) == len("\n".join(lines).splitlines()) == 5
    assert lines[4].startswith("; lost.example.com. not known: not lost.")
    zone = dns.zone.from_text("\n".join(lines), origin="example.com.", check_origin=False)
    found = {
        f"{name} {data}"
        for name, ttl, data in zone.iterate_rdatas()
        if ttl == (60 if ":" in str(data) else 300)
    }
    assert found == {
        "*.apps gateway.example.net.", "app 198.51.100.1", "app 198.51.100.2", "app 2001:db8::1",
    }  # fmt: skip


def test_external_dns_gets_one_endpoint_for_each_name_and_type():
    document = json.loads(dns_endpoint(RECORDS))
    assert (document["apiVersion"], document["kind"]) == (
        "externaldns.k8s.io/v1alpha1", "DNSEndpoint",
    )  # fmt: skip
    endpoints = document["spec"]["endpoints"]
    assert [(one["dnsName"], one["recordType"], one["targets"]) for one in endpoints] == [
        ("*.apps.example.com", "CNAME", ["gateway.example.net"]),
        ("app.example.com", "A", ["198.51.100.1", "198.51.100.2"]),
        ("app.example.com", "AAAA", ["2001:db8::1"]),
    ]
    assert endpoints[2]["recordTTL"] == 60
