"""`pipeops forwards`: ports of the control plane that lead into clusters."""

from operator import itemgetter

import click

from pipeops.cli.presenting import Cell, Format, duration, output_option, show_done, show_list
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
    columns: dict[str, Cell] = {
        "cluster": itemgetter("cluster"),
        "name": itemgetter("name"),
        "port": lambda item: f"{item['remote_port']}/{item['protocol']}",
        "target": itemgetter("target"),
        "status": lambda item: item["status"] if item["connected"] else "agent not connected",
        "connections": lambda item: str(item["connections"]),
    }
    show_list(items, form, columns, empty="no forwards; agents offer them with tunnel.forwards")


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
    where = f"{item['remote_port']}/{item['protocol']}"
    show_done(form, item, f"{item['name']}: port {where} → {item['target']} ({item['status']})")


@forwards.command()
@click.argument("cluster")
@click.argument("name")
@output_option
@click.pass_context
def remove(context: click.Context, cluster: str, name: str, form: Format) -> None:
    """Stop forwarding and give the port back."""
    with current(context).api() as api:
        api.remove_forward(cluster, name)
    document = {"cluster": cluster, "name": name, "removed": True}
    show_done(form, document, f"forward {name} of {cluster} removed")
