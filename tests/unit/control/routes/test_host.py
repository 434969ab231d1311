"""One spelling for each host."""

import pytest

from pipeops.control.routes.host import check_host, normal_host, wildcard_of


@pytest.mark.parametrize(
    ("sent", "host"),
    [
        ("app.example.com", "app.example.com"),
        ("APP.Example.COM", "app.example.com"),
        ("app.example.com:8443", "app.example.com"),
        ("app.example.com.", "app.example.com"),
        ("app.example.com.:443", "app.example.com"),
        ("app.example.com:", "app.example.com"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("[2001:0DB8:0:0::0001]:443", "[2001:db8::1]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[::1%eth0]", ""),
        ("[1:2]", ""),
        ("10.0.0.1:80", "10.0.0.1"),
        ("", ""),
        ("2001:db8::1", ""),
        ("[2001:db8::1", ""),
        ("[2001:db8::1]x", ""),
        ("app.example.com:http", ""),
        ("app.example.com:443:443", ""),
        ("app.example.com:999999", ""),
        ("\u212aube.example.com", ""),  # the Kelvin sign, whose lower case is k
        ("b\u00fccher.example", ""),
    ],
)
def test_the_host_that_a_client_means(sent, host):
    assert normal_host(sent) == host


@pytest.mark.parametrize(
    ("host", "wildcard"),
    [("a.b.c", "*.b.c"), ("b.c", "*.c"), ("localhost", ""), (".c", ""), ("a.", ""), ("", "")],
)
def test_the_wildcard_that_matches_a_host(host, wildcard):
    assert wildcard_of(host) == wildcard


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("App.Example.com.", "app.example.com"),
        ("*.Example.com", "*.example.com"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_hosts_that_a_route_may_have(written, host):
    assert check_host(written) == host


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "*",
        "*.com",
        "*.*.example.com",
        "a.*.example.com",
        "app..example.com",
        "-app.example.com",
        "app_1.example.com",
        "app.example.com:80",
        "10.0.0.1",
        "[::1]",
        "b\u00fccher.example",
        "\u212aube.example.com",
        "app.example.com/x",
        "app.example.com..",
        "a" * 64 + ".example.com",
        ".".join(["a" * 60] * 5),
    ],
)
def test_hosts_that_no_route_has(written):
    with pytest.raises(ValueError, match=r"host|wildcard"):
        check_host(written)
