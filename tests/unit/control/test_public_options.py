"""Options of the public gateway: off unless an address is given, and what they mean."""

from ipaddress import ip_network
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pipeops.control.public_options import public_options, public_settings
from pipeops.control.public_settings import PublicDns, PublicSettings, RouteCeilings


def settings(*arguments: str) -> PublicSettings | str:
    """What the options make, or what is wrong with them."""
    made: list[PublicSettings] = []

    @click.command
    @public_options
    def command(**options: Any) -> None:
        made.append(public_settings({**options, "access_log": True}))

    result = CliRunner().invoke(command, arguments)
    return made[0] if made else result.output


def test_it_is_off_by_default() -> None:
    assert settings() == PublicSettings()


def test_every_option_counts() -> None:
    made = settings(
        "--public-http", ":80", "--public-https", "[::]:443", "--public-https-port", "8443",
        "--public-trusted-proxy", "10.0.0.1/8", "--public-proxy-protocol", "192.0.2.1",
        "--public-max-body-mib", "5", "--public-max-concurrent", "7", "--public-rate-limit", "2.5", "--public-hsts-max-age", "60",
        "--public-response-timeout", "9", "--public-idle-timeout", "8", "--public-direct", "redirect", "--public-direct-insecure", "--public-reserved-host", "Ops.example.com",
        "--public-dns-target", "192.0.2.1", "--public-dns-target", "[2001:DB8::1]", "--public-dns-ttl", "60",
        "--public-direct-private", "--public-ceiling-body-mib", "9", "--public-ceiling-concurrent", "8", "--public-ceiling-rate-limit", "7",
        "--public-ceiling-response-timeout", "6", "--public-ceiling-idle-timeout", "5", "--public-ceiling-websocket-idle-timeout", "4",
    )  # fmt: skip
    assert isinstance(made, PublicSettings)
    assert (made.http, made.https, made.https_port) == (("0.0.0.0", 80), ("::", 443), 8443)
    assert made.trusted_proxies == (ip_network("10.0.0.0/8"),)
    assert made.proxy_protocol == (ip_network("192.0.2.1"),)
    assert made.reserved_hosts == ("ops.example.com",)
    assert made.ceilings == RouteCeilings(9 << 20, 8, 7.0, 6.0, 5.0, 4.0)
    assert made.dns == PublicDns(("192.0.2.1", "2001:db8::1"), 60, private=True)
    routes = made.routes
    assert (routes.max_body, routes.max_concurrent, routes.rate) == (5 << 20, 7, 2.5)
    assert (routes.response_timeout, routes.idle_timeout, routes.hsts_max_age) == (9.0, 8.0, 60)
    assert (made.direct_redirect, made.direct_verify, made.direct_private) == (True, False, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--public-http", "80"), ("--public-https", "host:x"), ("--public-trusted-proxy", "everyone"),
        ("--public-idle-timeout", "0"), ("--public-reserved-host", "no host"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said(arguments: tuple[str, ...]) -> None:
    assert "Error" in str(settings(*arguments))


def test_the_gateway_is_known_by_addresses_or_by_one_name() -> None:
    made = settings("--public-dns-target", "Gateway.Example.com.")
    assert isinstance(made, PublicSettings)
    assert made.dns.targets == ("gateway.example.com",)
    for wrong in (
        ("a.example.com", "b.example.com"),
        ("192.0.2.1", "a.example.com"),
        ("a:443",),
        ("*.a.com",),
    ):
        arguments = [part for value in wrong for part in ("--public-dns-target", value)]
        assert "Error" in str(settings(*arguments))
