"""Which proxy a URL goes through, as curl and Go read the variables."""

import pytest

from pipeops.tunnel.proxy import proxy_for, without_password

URL = "wss://control.example.com/ws"


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        (URL, {}, None),
        (URL, {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        (URL, {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        (URL, {"HTTP_PROXY": "http://p:3128"}, None),
        ("ws://control.example.com/", {"HTTP_PROXY": "p:3128"}, "http://p:3128"),
        (URL, {"ALL_PROXY": "http://p:1"}, "http://p:1"),
        (URL, {"HTTPS_PROXY": " "}, None),
    ],
)
def test_the_variable_of_the_scheme_counts(
    url: str, environment: dict[str, str], expected: str | None
) -> None:
    assert proxy_for(url, environment) == expected


@pytest.mark.parametrize(
    ("url", "no_proxy", "excluded"),
    [
        (URL, "*", True),
        (URL, "example.com", True),
        (URL, ".example.com", True),
        (URL, "*.example.com", True),
        (URL, "control.example.com", True),
        (URL, "ple.com", False),
        (URL, "other.com, control.example.com", True),
        (URL, "control.example.com:443", True),
        (URL, "control.example.com:8443", False),
        ("wss://control.example.com:8443/", "example.com:8443", True),
        ("wss://10.1.2.3/", "10.0.0.0/8", True),
        ("wss://10.1.2.3/", "10.1.2.3", True),
        ("wss://10.1.2.3/", "192.168.0.0/16", False),
        ("wss://[fd00::1]/", "fd00::/8", True),
        ("wss://[fd00::1]:8443/", "[fd00::1]:8443", True),
        ("wss://CONTROL.example.com./", "control.EXAMPLE.com", True),
        (URL, "", False),
    ],
)
def test_no_proxy_excludes_hosts_suffixes_ports_and_networks(
    url: str, no_proxy: str, excluded: bool
) -> None:
    environment = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    assert (proxy_for(url, environment) is None) is excluded


@pytest.mark.parametrize("url", ["wss://localhost/", "wss://127.0.0.1:8443/", "wss://[::1]/"])
def test_loopback_is_never_proxied(url: str) -> None:
    assert proxy_for(url, {"HTTPS_PROXY": "http://p:1"}) is None


@pytest.mark.parametrize(
    "proxy",
    [
        "ftp://u:secret@p:1",
        "http://u:secret@",
        "http://u:secret@p:port",
        "http://u:secret@p:0",
        "http://[::1",
    ],
)
def test_a_proxy_that_cannot_be_used_names_its_variable_and_no_password(proxy: str) -> None:
    with pytest.raises(ValueError, match=r"^all_proxy is not the URL of a proxy") as caught:
        proxy_for(URL, {"all_proxy": proxy})
    assert "secret" not in str(caught.value)


def test_a_proxy_is_shown_without_its_password() -> None:
    assert without_password("http://u:p@ss@h:1/x?y") == "http://h:1"
