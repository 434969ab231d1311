"""`pipeops routes`: hosts and paths of the public gateway."""

import sys
from operator import itemgetter

import click

from pipeops.cli.client import Json
from pipeops.cli.presenting import Cell, Format, output_option, print_json, show_list
from pipeops.cli.session import current
from pipeops.cli.zone import dns_endpoint, zone_lines


@click.group(invoke_without_command=True)
@click.pass_context
def routes(context: click.Context) -> None:
    """Public hosts and paths that lead into clusters; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_routes)


@routes.command("list")
@click.option("--cluster", help="Only those of this cluster.")
@output_option
@click.pass_context
def list_routes(context: click.Context, cluster: str | None = None, form: Format = "table") -> None:
    """List what the clusters that your token may reach have registered, served or not."""
    with current(context).api() as api:
        items = api.routes(cluster)
    columns: dict[str, Cell] = {
        "host": itemgetter("host"),
        "path": _path,
        "cluster": itemgetter("cluster"),
        "service": lambda item: f"{item['service']}.{item['namespace']}:{item['port']}",
        "mode": itemgetter("mode"),
        "status": _status,
    }
    show_list(
        items, form, columns, empty="no routes; agents register them with ENABLE_INGRESS_SYNC=true"
    )


@routes.command()
@click.option("--cluster", help="Only those of this cluster.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["zone", "json", "external-dns"]),
    default="zone",
    show_default=True,
    help="Lines of a zone file, the API's records, or a DNSEndpoint for external-dns.",
)
@click.pass_context
def dns(context: click.Context, cluster: str | None, form: str) -> None:
    """Say which DNS records the hosts should have: to the gateway, or of public clusters to their load balancer."""
    with current(context).api() as api:
        records = api.dns_records(cluster)
    if form == "json":
        print_json(records)
    elif form == "external-dns":
        print(dns_endpoint(records))
    else:
        for line in zone_lines(records):
            print(line)
    unknown = sum(record["type"] is None for record in records)
    if unknown:
        print(f"of {unknown} hosts it is not known where they should lead", file=sys.stderr)
    elif not records:
        print("no host is served", file=sys.stderr)


def _path(item: Json) -> str:
    marks = {"Exact": "", "Prefix": " …"}
    return f"{item['path']}{marks.get(item['path_type'], ' *')}"


def _status(item: Json) -> str:
    if item["problem"]:
        return f"{item['status']}: {item['problem']}"
    return "; ".join((str(item["status"]), *item.get("warnings", ())))
