"""`pipeops forwards`: ports of the control plane that lead into clusters."""

import sys

import click

from pipeops.cli.presenting import Format, duration, output_option, print_json, print_table
from pipeops.cli.session import current


@click.group(invoke_without_command=True)
@click.pass_context
def forwards(context: click.Context) -> None:
    """Ports that lead into clusters; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_forwards)


@forwards.command("list")
@output_option
@click.pass_context
def list_forwards(context: click.Context, form: Format = "table") -> None:
    """List the forwards of the clusters that your token may reach."""
    with current(context).api() as api:
        items = api.forwards()
    if form == "json":
        print_json(items)
        return
    if not items:
        print("no forwards; agents offer them with tunnel.forwards", file=sys.stderr)
        return
    rows = [
        (
            item["cluster"],
            item["name"],
            f"{item['remote_port']}/{item['protocol']}",
            item["target"],
            item["status"] if item["connected"] else "agent not connected",
            str(item["connections"]),
        )
        for item in items
    ]
    print_table(("cluster", "name", "port", "target", "status", "connections"), rows)


@forwards.command()
@click.argument("cluster")
@click.argument("name")
@click.argument("target", metavar="SERVICE.NAMESPACE:PORT")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="0: one is chosen and kept."
)
@click.option("--udp", is_flag=True, help="Datagrams instead of a TCP connection.")
@click.option(
    "--inactivity",
    type=duration,
    default=None,
    metavar="DURATION",
    help="End connections without a byte for so long; default: never.",
)
@output_option
@click.pass_context
def add(
    context: click.Context,
    cluster: str,
    name: str,
    target: str,
    port: int,
    udp: bool,  # noqa: FBT001 - click passes options by position of their names
    inactivity: float | None,
    form: Format,
) -> None:
    """Forward a port of the control plane to a Service of a cluster. Whoever reaches the port reaches the Service."""
    body = {
        "name": name,
        "target": target,
        "protocol": "udp" if udp else "tcp",
        "remote_port": port,
        "inactivity_seconds": inactivity or 0.0,
    }
    with current(context).api() as api:
        item = api.add_forward(cluster, body)
    if form == "json":
        print_json(item)
        return
    print(
        f"{item['name']}: port {item['remote_port']}/{item['protocol']} → {item['target']} ({item['status']})"
    )


@forwards.command()
@click.argument("cluster")
@click.argument("name")
@output_option
@click.pass_context
def remove(context: click.Context, cluster: str, name: str, form: Format) -> None:
    """Stop forwarding and give the port back."""
    with current(context).api() as api:
        api.remove_forward(cluster, name)
    if form == "json":
        print_json({"cluster": cluster, "name": name, "removed": True})
        return
    print(f"forward {name} of {cluster} removed")
