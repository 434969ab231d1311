"""`pipeops domains`: which cluster may use which public domain."""

import sys
from operator import itemgetter

import click

from pipeops.cli.presenting import (
    Cell,
    Format,
    age,
    output_option,
    print_json,
    show_done,
    show_list,
)
from pipeops.cli.session import current

_RULES = {
    "first-come": "other hosts are for the cluster that asks first",
    "verified": "other hosts need a DNS record: `pipeops domains verify CLUSTER DOMAIN`",
    "allow-list": "other hosts are refused",
}


@click.group(invoke_without_command=True)
@click.pass_context
def domains(context: click.Context) -> None:
    """Public domains and the clusters that may use them; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_domains)


@domains.command("list")
@output_option
@click.pass_context
def list_domains(context: click.Context, form: Format = "table") -> None:
    """List domains, the rule for hosts outside them, and the hosts that were refused."""
    session = current(context)
    with session.api() as api:
        document = api.domains()
    if form == "json":
        print_json(document)
        return
    now = session.clock.wall()
    columns: dict[str, Cell] = {
        "domain": itemgetter("domain"),
        "cluster": itemgetter("cluster"),
        "by": lambda item: (
            f"{item['granted_by']}{'' if item['counts'] else ' (does not count here)'}"
        ),
        "since": lambda item: age(item["created_at"], now),
    }
    empty = "no domains; allow one with `pipeops domains allow CLUSTER DOMAIN`"
    show_list(document["items"], form, columns, empty=empty)
    print(_RULES.get(document["rule"], document["rule"]), file=sys.stderr)
    if document["refused"]:
        print()
        refused: dict[str, Cell] = {
            "refused host": itemgetter("host"),
            "cluster": itemgetter("cluster"),
            "reason": itemgetter("reason"),
            "attempts": lambda item: str(item["count"]),
            "last": lambda item: age(item["last_at"], now),
        }
        show_list(document["refused"], form, refused)


@domains.command()
@click.argument("cluster")
@click.argument("domain")
@output_option
@click.pass_context
def allow(context: click.Context, cluster: str, domain: str, form: Format) -> None:
    """Allow a cluster to use a domain and everything below it. Clusters that are not allowed lose what they have there.

    '*' stands for rules without a host: they answer hosts that no route names.
    """
    with current(context).api() as api:
        item = api.allow_domain(cluster, domain)
    what = f"{item['domain']} and what is below it is for"
    if item["domain"] == "*":
        what = "hosts that no route names are for"
    show_done(form, item, f"{what} {cluster}")


@domains.command()
@click.argument("cluster")
@click.argument("domain")
@output_option
@click.pass_context
def verify(context: click.Context, cluster: str, domain: str, form: Format) -> None:
    """Look for the DNS record that proves a domain to be the cluster's; says which one if it is not there."""
    with current(context).api() as api:
        item = api.verify_domain(cluster, domain)
    show_done(form, item, f"{item['domain']} and what is below it is proven to be {cluster}'s")


@domains.command()
@click.argument("cluster")
@click.argument("domain")
@output_option
@click.pass_context
def revoke(context: click.Context, cluster: str, domain: str, form: Format) -> None:
    """Take a domain, or a host that it holds without one, from a cluster; its routes there are served no more."""
    with current(context).api() as api:
        api.revoke_domain(cluster, domain)
    document = {"cluster": cluster, "domain": domain, "revoked": True}
    show_done(form, document, f"{domain} is no longer {cluster}'s")
