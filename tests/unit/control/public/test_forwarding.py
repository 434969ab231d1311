"""Header lines for the Service: what the client says of its origin counts only through a trusted proxy."""

from ipaddress import ip_network

import pytest

from pipeops.control.public.forwarding import (
    Origin,
    client_address,
    client_scheme,
    forwarded_lines,
    is_trusted,
    limited_address,
)
from pipeops.http1.head import HeaderBlock, read_block

DIRECT = Origin("203.0.113.9", secure=False, trusted=False)
PROXIED = Origin("10.0.0.1", secure=False, trusted=True)


def block(*lines: bytes) -> HeaderBlock:
    return read_block(b"".join(line + b"\r\n" for line in (b"Host: a.example.com", *lines)))


def lines(made: HeaderBlock, origin: Origin = DIRECT) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in forwarded_lines(made, origin, b"a.example.com").decode().split("\r\n")[:-1]:
        name, _, value = line.partition(": ")
        found.setdefault(name, []).append(value)
    return found


def test_what_the_application_needs_crosses_and_what_is_for_this_hop_does_not() -> None:
    seen = lines(
        block(
            b"Authorization: Basic x", b"Cookie: a=1", b"Origin: https://a", b"Connection: keep-alive, X-Hop",
            b"X-Hop: 1", b"Keep-Alive: 5", b"Proxy-Authorization: x", b"Content-Length: 0", b"Expect: 100-continue",
        )
    )  # fmt: skip
    assert seen["authorization"] == ["Basic x"]
    assert seen["cookie"] == ["a=1"]
    assert seen["host"] == ["a.example.com"]
    gone = {"connection", "x-hop", "keep-alive", "proxy-authorization", "content-length", "expect"}
    assert not gone & set(seen)


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For", "x-forwarded-host", "X_Forwarded_For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto",
        "X-Request-Id", "X-Pipeops-Failure", "Proxy", "X-Original-URL", "X-Rewrite-URL", "True-Client-IP", "X-Forwarded-Prefix",
    ],
)  # fmt: skip
def test_a_clients_word_about_its_origin_is_not_passed_on(name: str) -> None:
    assert "evil" not in str(lines(block(f"{name}: evil".encode())))


def test_the_origin_is_told_by_our_own_word() -> None:
    seen = lines(block(), Origin("2001:db8::1", secure=True, trusted=False))
    assert seen["x-forwarded-for"] == ["2001:db8::1"]
    assert seen["x-forwarded-proto"] == ["https"]
    assert seen["x-forwarded-host"] == ["a.example.com"]
    assert seen["x-forwarded-port"] == ["443"]
    assert seen["forwarded"] == ['for="[2001:db8::1]";host="a.example.com";proto=https']


def test_a_trusted_proxys_chain_is_continued() -> None:
    made = block(
        b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-For: 5.6.7.8", b"X-Forwarded-Proto: https"
    )
    seen = lines(made, PROXIED)
    assert seen["x-forwarded-for"] == ["1.2.3.4, 5.6.7.8, 10.0.0.1"]
    assert seen["x-forwarded-proto"] == ["https"]
    assert client_scheme(made, PROXIED) == b"https"
    assert client_address(block(b"X-Forwarded-For: 1.2.3.4, 5.6.7.8"), PROXIED) == "5.6.7.8"


def test_a_strangers_chain_counts_for_nothing() -> None:
    made = block(b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https")
    assert client_address(made, DIRECT) == "203.0.113.9"
    assert client_scheme(made, DIRECT) == b"http"


def test_nonsense_from_a_trusted_proxy_is_left_out() -> None:
    made = block(
        b"X-Forwarded-For: <script>", b"X-Forwarded-Proto: gopher", b"X-Forwarded-Host: a b"
    )
    seen = lines(made, PROXIED)
    assert seen["x-forwarded-for"] == ["10.0.0.1"]
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-forwarded-host"] == ["a.example.com"]
    assert client_address(made, PROXIED) == "10.0.0.1"


def test_trailers_are_asked_for_only_by_who_reads_them() -> None:
    assert lines(block(b"TE: trailers, deflate;q=0.5"))["te"] == ["trailers"]
    assert "te" not in lines(block(b"TE: deflate"))


def test_proxies_are_trusted_by_address() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert is_trusted("10.1.2.3", networks)
    assert is_trusted("::ffff:10.1.2.3", networks)
    assert is_trusted("2001:db8::5", networks)
    assert not is_trusted("11.0.0.1", networks)
    assert not is_trusted("-", networks)


def test_an_ipv6_client_is_limited_by_its_network_of_which_it_has_all_addresses() -> None:
    assert limited_address("2001:db8:1:2:3:4:5:6") == limited_address("2001:db8:1:2::1")
    assert limited_address("2001:db8:1:2::1") != limited_address("2001:db8:1:3::1")
    assert limited_address("::ffff:192.0.2.1") == limited_address("192.0.2.1") == "192.0.2.1"
    assert limited_address("fe80::1%eth0") == limited_address("fe80::2%eth0")
    for other in ("-", "a:b", ""):
        assert limited_address(other) == other
