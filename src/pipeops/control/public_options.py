"""Options of pipeops-control for the public gateway, and the settings they make."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

import click

from pipeops.control.public_settings import (
    MIB,
    Address,
    Network,
    PublicDns,
    PublicSettings,
    RouteCeilings,
    RouteDefaults,
)

Command = TypeVar("Command", bound=Callable[..., Any])

PREFIX = "public_"

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\]")


def _address(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> Address | None:
    if not value:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter("expected HOST:PORT, for example 0.0.0.0:443 or :80")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - ":443" means every address


def _networks(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(value, strict=False) for value in values)
    except ValueError as error:
        raise click.BadParameter(f"expected an address or a network: {error}") from error


def _hosts(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        if _HOST.fullmatch(value) is None:
            raise click.BadParameter(f"expected a host or *.PARENT without a port: {value!r}")
    return tuple(value.lower().removesuffix(".") for value in values)


def _dns_targets(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    addresses, names = [], []
    for value in values:
        try:
            addresses.append(str(ip_address(value.strip("[]"))))
        except ValueError:
            names.append(value.lower().removesuffix("."))
    if len(names) > 1 or (names and addresses):
        raise click.BadParameter("expected addresses, or one name: a CNAME stands alone")
    if any(_HOST.fullmatch(name) is None or name.startswith("*") for name in names):
        raise click.BadParameter(f"expected an address or a name without a port: {names[0]!r}")
    return (*addresses, *names)


_DEFAULTS = RouteDefaults()
_MOST = RouteCeilings()
_CEILING = "Annotations of an Ingress cannot ask for more than this: "
_SECONDS = click.FloatRange(0.1, 86_400)
_OPTIONS = (
    click.option("--public-http", callback=_address, help="Public gateway: HOST:PORT for plain HTTP.  [default: off]"),
    click.option("--public-https", callback=_address, help="Public gateway: HOST:PORT for HTTPS.  [default: off]"),
    click.option("--public-https-port", type=click.IntRange(1, 65535), default=443, help="The port that redirects to HTTPS name."),
    click.option("--public-trusted-proxy", multiple=True, callback=_networks, help="Network whose X-Forwarded-* are believed; may be repeated."),
    click.option("--public-proxy-protocol", multiple=True, callback=_networks, help="Network whose connections begin with a PROXY header; may be repeated."),
    click.option("--public-max-body-mib", type=click.IntRange(0), default=0, help="Largest request body in MiB; 0 for any."),
    click.option("--public-max-concurrent", type=click.IntRange(1), default=_DEFAULTS.max_concurrent, help="Requests of one route under way at once."),
    click.option("--public-rate-limit", type=click.FloatRange(0), default=0.0, help="Requests a second of one client address on one route; 0 for any."),
    click.option("--public-response-timeout", type=_SECONDS, default=_DEFAULTS.response_timeout, help="Seconds until an application begins to answer."),
    click.option("--public-idle-timeout", type=_SECONDS, default=_DEFAULTS.idle_timeout, help="Seconds without a byte of an answer."),
    click.option("--public-hsts-max-age", type=click.IntRange(0), default=0, help="Seconds of Strict-Transport-Security; 0 for none."),
    click.option("--public-ceiling-body-mib", type=click.IntRange(0), default=0, help=f"{_CEILING}MiB of a request body; 0 for any."),
    click.option("--public-ceiling-concurrent", type=click.IntRange(1), default=_MOST.max_concurrent, help=f"{_CEILING}requests of one route under way at once."),
    click.option("--public-ceiling-rate-limit", type=click.FloatRange(0), default=0.0, help=f"{_CEILING}requests a second of one client address, and twice as many at once; 0 for any."),
    click.option("--public-ceiling-response-timeout", type=_SECONDS, default=_MOST.response_timeout, help=f"{_CEILING}seconds until an application begins to answer."),
    click.option("--public-ceiling-idle-timeout", type=_SECONDS, default=_MOST.idle_timeout, help=f"{_CEILING}seconds without a byte of an answer."),
    click.option("--public-ceiling-websocket-idle-timeout", type=_SECONDS, default=_MOST.upgraded_idle_timeout, help=f"{_CEILING}seconds without a byte of a WebSocket."),
    click.option("--public-dns-target", multiple=True, callback=_dns_targets, help="Address under which clients reach the public gateway, or its name, for `pipeops routes dns`; addresses may be repeated.  [default: not known]"),
    click.option("--public-dns-ttl", type=click.IntRange(1, 604_800), default=300, help="Seconds that such records may be kept."),
    click.option("--public-direct", type=click.Choice(["proxy", "redirect"]), default="proxy", help="What clients of public clusters get."),
    click.option("--public-direct-insecure", is_flag=True, help="Do not verify the certificates of clusters' load balancers."),
    click.option("--public-reserved-host", multiple=True, callback=_hosts, help="Host, or *.PARENT, that no route without a host answers, beside those of this control plane's own certificate; may be repeated."),
    click.option("--public-direct-private", is_flag=True, help="Allow load balancers at addresses that are not global."),
)  # fmt: skip


def public_options(command: Command) -> Command:
    """Decorate a command with these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def public_settings(options: Mapping[str, Any]) -> PublicSettings:
    """Make the settings of a command's options."""
    said = {key.removeprefix(PREFIX): value for key, value in options.items()}
    return PublicSettings(
        http=said["http"],
        https=said["https"],
        https_port=said["https_port"],
        trusted_proxies=said["trusted_proxy"],
        proxy_protocol=said["proxy_protocol"],
        direct_redirect=said["direct"] == "redirect",
        direct_verify=not said["direct_insecure"],
        direct_private=said["direct_private"],
        reserved_hosts=said["reserved_host"],
        access_log=said["access_log"],
        routes=RouteDefaults(
            max_body=said["max_body_mib"] * MIB,
            max_concurrent=said["max_concurrent"],
            rate=said["rate_limit"],
            response_timeout=said["response_timeout"],
            idle_timeout=said["idle_timeout"],
            hsts_max_age=said["hsts_max_age"],
        ),
        dns=PublicDns(said["dns_target"], said["dns_ttl"], said["direct_private"]),
        ceilings=RouteCeilings(
            max_body=said["ceiling_body_mib"] * MIB,
            max_concurrent=said["ceiling_concurrent"],
            rate=said["ceiling_rate_limit"],
            response_timeout=said["ceiling_response_timeout"],
            idle_timeout=said["ceiling_idle_timeout"],
            upgraded_idle_timeout=said["ceiling_websocket_idle_timeout"],
        ),
    )
