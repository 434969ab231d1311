"""Endpoints of public clusters: only the internet is dialled (S-05)."""

import pytest

from pipeops.control.public.upstream.endpoint import (
    EndpointRefused,
    PublicEndpoint,
    is_global,
    read_endpoint,
    resolve,
    system_lookup,
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("203.0.113.7:443", PublicEndpoint("203.0.113.7", 443)), ("[2001:db8::1]:80", PublicEndpoint("2001:db8::1", 80)),
        ("lb-1.eu.elb.example.com:443", PublicEndpoint("lb-1.eu.elb.example.com", 443)),
    ],
)  # fmt: skip
def test_an_endpoint_is_host_and_port(text: str, endpoint: PublicEndpoint) -> None:
    assert read_endpoint(text) == endpoint
    assert endpoint.secure is (endpoint.port == 443)


@pytest.mark.parametrize(
    "text", ["", "host", ":443", "a:0", "a:70000", "a/b:1", "a@b:443", "-a:1", "a b:1", "::1:80"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(EndpointRefused):
        read_endpoint(text)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "2002:7f00:1::", "255.255.255.255", "nonsense",
    ],
)  # fmt: skip
def test_s05_special_addresses_are_not_global(address: str) -> None:
    assert not is_global(address)


def test_addresses_of_the_internet_are() -> None:
    assert is_global("8.8.8.8")
    assert is_global("2606:4700::1111")


async def test_s05_the_address_that_was_checked_is_the_one_dialled() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return ["169.254.169.254", "10.0.0.1", "8.8.8.8"]

    endpoint = PublicEndpoint("lb.example.com", 443)
    assert await resolve(endpoint, private=False, lookup=lookup) == "8.8.8.8"
    assert await resolve(endpoint, private=True, lookup=lookup) == "169.254.169.254"


async def test_s05_a_name_with_inner_addresses_only_is_refused() -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        return ["10.0.0.1"]

    with pytest.raises(EndpointRefused, match="no global address"):
        await resolve(PublicEndpoint("lb.example.com", 443), private=False, lookup=lookup)


async def test_the_systems_resolver_reads_addresses() -> None:
    assert await system_lookup("127.0.0.1", 80) == ["127.0.0.1"]
