"""`pipeops certificates`: certificates of the public gateway."""

import sys
from pathlib import Path
from typing import Any

import click

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.presenting import Format, output_option, print_json, print_table, until
from pipeops.cli.session import current
from pipeops.runtime.secrets import Secret

_MAX_FILE = 60_000  # bytes; what the API takes
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(invoke_without_command=True)
@click.pass_context
def certificates(context: click.Context) -> None:
    """Certificates of the public gateway; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_certificates)


@certificates.command("list")
@output_option
@click.pass_context
def list_certificates(context: click.Context, form: Format = "table") -> None:
    """List certificates, what is being ordered, and what is wrong."""
    session = current(context)
    with session.api() as api:
        document = api.certificates()
    if form == "json":
        print_json(document)
        return
    now = session.clock.wall()
    if document["items"]:
        print_table(
            ("host", "source", "names", "expires", "renewed", "issuer"),
            [_row(item, now) for item in document["items"]],
        )
    else:
        print("no certificates", file=sys.stderr)
    for order in document["orders"]:
        again = ""
        if order["next_attempt_at"] is not None:
            again = f"; next attempt {until(order['next_attempt_at'], now)}"
        problem = f": {order['problem']}" if order["problem"] else ""
        print(f"{order['host']}: {order['state']}{problem}{again}", file=sys.stderr)
    for item in document["items"]:
        if item["problem"]:
            print(f"{item['host']} ({item['source']}): {item['problem']}", file=sys.stderr)
    for item in document["problems"]:
        print(f"{item['concerns']}: {item['problem']}", file=sys.stderr)


def _row(item: dict[str, Any], now: float) -> tuple[str, ...]:
    names = item["names"]
    shown = ", ".join(names[:3]) + (f", … ({len(names)})" if len(names) > 3 else "")
    return (
        item["host"],
        item["source"],
        shown,
        until(item["not_after"], now),
        until(item["renews_at"], now) if item["renews_at"] else "",
        item["issuer"],
    )


@certificates.command()
@click.argument("host")
@click.option("--cert", "chain", type=_FILE, required=True, help="Chain, leaf first, PEM.")
@click.option("--key", type=_FILE, required=True, help="Its private key, PEM, no passphrase.")
@output_option
@click.pass_context
def upload(context: click.Context, host: str, chain: Path, key: Path, form: Format) -> None:
    """Put a certificate in force for HOST (or *.PARENT), in place of an earlier upload."""
    text, secret = _read(chain), Secret(_read(key))
    with current(context).api() as api:
        item = api.upload_certificate(host, text, secret)
    if form == "json":
        print_json(item)
        return
    print(f"{item['host']}: {', '.join(item['names'][:3])}, until {item['not_after']}")


@certificates.command()
@click.argument("host")
@output_option
@click.pass_context
def remove(context: click.Context, host: str, form: Format) -> None:
    """Remove the upload of HOST; without one what ACME issued, which is ordered anew if it is still wanted."""
    with current(context).api() as api:
        removed = api.remove_certificate(host)
    if form == "json":
        print_json({**removed, "removed": True})
        return
    print(f"certificate of {removed['host']} removed ({removed['source']})")


@certificates.command()
@click.argument("host")
@output_option
@click.pass_context
def renew(context: click.Context, host: str, form: Format) -> None:
    """Order a certificate for HOST at once, whatever it has and whatever failed before."""
    with current(context).api() as api:
        api.renew_certificate(host)
    if form == "json":
        print_json({"host": host, "ordered": True})
        return
    print(
        f"certificate of {host} is being ordered; pipeops certificates list shows what became of it"
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}", code=ExitCode.USAGE) from error
    if len(data) > _MAX_FILE or not data.isascii():
        raise CliError(f"{path} is no PEM file", code=ExitCode.USAGE)
    return data.decode("ascii")
