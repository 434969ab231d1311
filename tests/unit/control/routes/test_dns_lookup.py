"""TXT records from a real name server on loopback."""

import dns.rcode
import pytest

from pipeops.control.routes import dns_lookup
from pipeops.control.routes.dns_lookup import DnsLookup
from pipeops.control.routes.proofs import LookupFailed
from tests.support.dns import NameServer


@pytest.fixture
def server():
    with NameServer() as server:
        yield server


async def test_records_are_read_whole_and_anew(server):
    lookup = DnsLookup([server.address])
    name = "_pipeops-challenge.example.com"
    assert await lookup.texts(name) == ()
    server.records[name] = ["pipeops-cluster=|abc", "v=spf1 -all"]
    # A name server may give the records of a name in any order (RFC 2181 §5).
    assert sorted(await lookup.texts(name)) == ["pipeops-cluster=abc", "v=spf1 -all"]
    assert server.asked == [name, name]


async def test_a_name_without_texts_has_none(server):
    server.records["empty.example.com"] = []
    assert await DnsLookup([server.address]).texts("empty.example.com") == ()


@pytest.mark.parametrize(
    "name", ["bad..name", "x" * 64 + ".io", "_pipeops-challenge." + "a." * 130]
)
async def test_what_is_no_name_cannot_be_looked_up(server, name):
    with pytest.raises(LookupFailed):
        await DnsLookup([server.address]).texts(name)


async def test_a_server_that_fails_or_is_silent_says_nothing_about_the_name(server, monkeypatch):
    server.rcode = dns.rcode.SERVFAIL
    with pytest.raises(LookupFailed):
        await DnsLookup([server.address]).texts("example.com")
    server.silent = True
    monkeypatch.setattr(dns_lookup, "TIMEOUT", 0.05)
    with pytest.raises(LookupFailed):
        await DnsLookup([server.address]).texts("example.com")
