"""Command line of pipeops-control."""

import errno
import socket
import ssl
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast

import click

from pipeops import __version__
from pipeops.control.certificate_options import certificate_options, certificate_settings
from pipeops.control.public_options import public_options, public_settings
from pipeops.control.settings import ControlSettings
from pipeops.errors import PipeOpsError
from pipeops.runtime import logs

EXIT_FAILURE, EXIT_USAGE = 1, 2


def _address(_context: click.Context, _option: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter("expected HOST:PORT, for example 127.0.0.1:8443 or [::]:8443")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - ":8443" means every address


def _port_range(
    _context: click.Context, _option: click.Parameter, value: str
) -> tuple[int, int] | None:
    if value == "none":
        return None
    first, dash, last = value.partition("-")
    if not (
        dash and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65536
    ):
        raise click.BadParameter("expected FIRST-LAST, for example 15000-15999, or 'none'")
    return int(first), int(last)


def _name_servers(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    try:
        return tuple(_name_server(value) for value in values)
    except ValueError:
        raise click.BadParameter(
            "expected ADDRESS or ADDRESS:PORT, for example 10.0.0.53 or [fd00::53]:5353"
        ) from None


def _name_server(value: str) -> tuple[str, int]:
    address, colon, port = value.rpartition(":")
    if not colon or value.endswith("]") or (":" in address and not address.startswith("[")):
        address, port = value, "53"
    if not 0 < int(port) < 65536:
        raise ValueError(port)
    return str(ip_address(address.strip("[]"))), int(port)


@click.command(context_settings={"auto_envvar_prefix": "PIPEOPS_CONTROL", "show_default": True})
@click.version_option(__version__, prog_name="pipeops-control")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("~/.local/state/pipeops/control"),
    help="Database and administrator token.",
)
@click.option(
    "--database-url",
    default=None,
    help="SQLAlchemy URL of another database, for example postgresql+asyncpg://…  [default: SQLite in the data directory]",
)
@click.option(
    "--listen",
    callback=_address,
    default="127.0.0.1:8443",
    help="The one port: agents, kubectl, API.",
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path, dir_okay=False), help="Certificate chain, PEM."
)
@click.option(
    "--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="Its private key, PEM."
)
@click.option(
    "--heartbeat-interval",
    type=click.FloatRange(1, 3600),
    default=5.0,
    help="Seconds, told to agents.",
)
@click.option(
    "--gateway-url",
    default="",
    help="Send Go agents to this WebSocket URL after they registered, for example wss://HOST:PORT/ws.",
)
@click.option(
    "--forward-ports",
    callback=_port_range,
    default="15000-15999",
    help="Ports for what agents forward, FIRST-LAST; 'none' forwards nothing.",
)
@click.option(
    "--forward-host",
    default="127.0.0.1",
    help="Address of forwarded ports; they ask for no token.",
)
@click.option(
    "--max-waiting-mib",
    type=click.IntRange(16, 1 << 20),
    default=512,
    help="MiB kept for slow clients and agents before new requests get 503.",
)
@certificate_options
@click.option(
    "--route-hosts",
    type=click.Choice(["first-come", "verified", "allow-list"]),
    default="verified",
    help="What a cluster needs for a public host: nothing, a DNS record or an operator's word, or an operator's word only.",
)
@click.option(
    "--name-server",
    "name_servers",
    multiple=True,
    callback=_name_servers,
    help="Asked for such DNS records, ADDRESS or ADDRESS:PORT; may be repeated.  [default: the system's]",
)
@public_options
@click.option("--access-log/--no-access-log", default=True, help="One log line for each request.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info"
)
@click.option("--log-format", type=click.Choice(["auto", "json", "text"]), default="auto")
def command(**options: Any) -> None:
    """Run the PipeOps control plane.

    Agents connect to it, and kubectl reaches their clusters through it under /k8s/<cluster>/. Every option can be
    given as PIPEOPS_CONTROL_<OPTION> in the environment.
    """
    host, port = options["listen"]
    cert, key = options["tls_cert"], options["tls_key"]
    if (cert is None) is not (key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    data_dir = options["data_dir"].expanduser()
    settings = ControlSettings(
        data_dir=data_dir,
        database_url=options["database_url"] or f"sqlite+aiosqlite:///{data_dir / 'pipeops.db'}",
        listen_host=host,
        listen_port=port,
        tls_cert=cert,
        tls_key=key,
        heartbeat_interval=options["heartbeat_interval"],
        gateway_url=options["gateway_url"],
        forward_host=options["forward_host"],
        forward_ports=options["forward_ports"],
        max_waiting_mib=options["max_waiting_mib"],
        certificates=certificate_settings(options),
        route_hosts=options["route_hosts"],
        name_servers=options["name_servers"],
        public=public_settings(options),
        access_log=options["access_log"],
        log_level=options["log_level"],
        log_format=options["log_format"],
    )
    logs.configure(
        settings.log_level, form=cast(Literal["auto", "json", "text"], settings.log_format)
    )
    sys.exit(_run(settings))


def _run(settings: ControlSettings) -> int:
    # Imported late: `--help` and wrong options need none of it.
    from pipeops.control.app import run  # noqa: PLC0415

    try:
        return run(settings)
    except PipeOpsError as error:
        hint = getattr(error, "hint", "")
        message = f"{error}; {hint}" if hint else str(error)
    except ssl.SSLError as error:
        message = f"the TLS certificate or key cannot be used: {error.reason or error}"
    except OSError as error:
        message = _explain(error, settings)
    click.echo(f"pipeops-control: {message}", err=True)
    return EXIT_FAILURE


def _explain(error: OSError, settings: ControlSettings) -> str:
    """Which file or address cannot be used, why, and what to do."""
    address = f"{settings.listen_host}:{settings.listen_port}"
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use by another program; stop that, or choose another address with --listen"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is no address of this machine; choose another with --listen"
    if error.errno == errno.EACCES and not error.filename:
        return f"this user may not listen on {address}; choose a port above 1023 with --listen"
    if isinstance(error, socket.gaierror):
        return f"{settings.listen_host!r} is no address that can be listened on; choose another with --listen"
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def main() -> None:
    """Entry point; leaves by SystemExit with the exit code."""
    command.main(prog_name="pipeops-control")
