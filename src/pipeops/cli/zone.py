"""Zone: DNS records of the public gateway as lines of a zone file, or as an object of external-dns."""

import json
from collections.abc import Sequence

from pipeops.cli.client import Json

_NAME_WIDTH = 40


def zone_lines(records: Sequence[Json]) -> list[str]:
    """Return lines for a zone file (RFC 1035 section 5.1); what is not known is a comment."""
    return [_line(record) for record in records]


def _line(record: Json) -> str:
    name = f"{record['name']}."
    # What comes from elsewhere ends no comment and begins no line.
    reason = " ".join(str(record["reason"]).split())
    if record["type"] is None:
        return f"; {name} not known: {reason}"
    value = f"{record['value']}." if record["type"] == "CNAME" else record["value"]
    return f"{name:<{_NAME_WIDTH}} {record['ttl']:>6} IN {record['type']:<5} {value} ; {record['mode']}: {reason}"


def dns_endpoint(records: Sequence[Json]) -> str:
    """Return a DNSEndpoint, which external-dns reads with `--source=crd`."""
    endpoints: dict[tuple[str, str], Json] = {}
    for record in records:
        if record["type"] is None:
            continue
        endpoint = endpoints.setdefault(
            (record["name"], record["type"]),
            {
                "dnsName": record["name"],
                "recordType": record["type"],
                "recordTTL": record["ttl"],
                "targets": [],
            },
        )
        endpoint["targets"].append(record["value"])
    document = {
        "apiVersion": "externaldns.k8s.io/v1alpha1",
        "kind": "DNSEndpoint",
        "metadata": {"name": "pipeops-public-hosts"},
        "spec": {"endpoints": list(endpoints.values())},
    }
    return json.dumps(document, indent=2)
