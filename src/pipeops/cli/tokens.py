"""`pipeops tokens`: list, create and revoke user tokens."""

import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import click

from pipeops.cli.client import Json
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.presenting import (
    Cell,
    Format,
    age,
    duration,
    output_option,
    print_json,
    show_list,
    until,
)
from pipeops.cli.session import current
from pipeops.cli.token_files import STANDARD_OUTPUT, deliver_token, refuse_existing


@click.group()
def tokens() -> None:
    """Tokens with which people and programs use the control plane."""


@tokens.command("list")
@click.option("--all", "everything", is_flag=True, help="Revoked and expired ones too.")
@output_option
@click.pass_context
def list_tokens(
    context: click.Context,
    *,
    everything: bool,
    form: Format,
) -> None:
    """List user tokens, without their secrets."""
    session = current(context)
    with session.api() as api:
        items = api.tokens()
    now = session.clock.wall()
    if not everything:
        items = [
            item
            for item in items
            if not item["revoked_at"] and until(item["expires_at"], now) != "expired"
        ]
    columns: dict[str, Cell] = {
        "id": itemgetter("id"),
        "token": lambda item: f"{item['prefix']}…",
        "label": itemgetter("label"),
        "user": itemgetter("user"),
        "role": itemgetter("role"),
        "clusters": _reachable,
        "expires": lambda item: "revoked" if item["revoked_at"] else until(item["expires_at"], now),
        "last used": lambda item: age(item["last_used_at"], now),
    }
    show_list(items, form, columns)


def _reachable(item: Json) -> str:
    return "all" if item["clusters"] is None else ", ".join(item["clusters"]) or "none"


@tokens.command()
@click.argument("label")
@click.option("--user", required=True, help="Name that clusters see (Impersonate-User).")
@click.option("--group", "groups", multiple=True, help="Group that clusters see; may be repeated.")
@click.option(
    "--role",
    type=click.Choice(["user", "admin"]),
    default="user",
    show_default=True,
    help="admin may manage clusters and tokens.",
)
@click.option(
    "--cluster",
    "clusters",
    multiple=True,
    help="Cluster it may reach; may be repeated.  [default: all]",
)
@click.option(
    "--expires-in", type=duration, metavar="DURATION", help="For example 30d; default: never."
)
@click.option(
    "--write-token",
    type=click.Path(path_type=Path, allow_dash=True),
    default=STANDARD_OUTPUT,
    metavar="FILE",
    help="Where to put the token (mode 0600).  [default: standard output]",
)
@output_option
@click.pass_context
def create(
    context: click.Context, /, *, label: str, write_token: Path, form: Format, **wanted: Any
) -> None:
    """Create a user token; LABEL is how you recognise it later.

    The token is printed once, alone on standard output: `pipeops tokens create … > file` keeps it.
    """
    refuse_existing(write_token)
    body = {"label": label, **wanted, "clusters": list(wanted["clusters"]) or None}
    with current(context).api() as api:
        issued = api.create_token(body)
    for warning in issued["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    in_document = form == "json" and write_token == STANDARD_OUTPUT
    written = None
    if not in_document:
        written = deliver_token(issued["token"], write_token, f"token {label!r}")
    if form == "json":
        document = issued["metadata"] | {
            "token": issued["token"] if in_document else None,
            "token_file": None if written is None else str(written),
        }
        print_json(document)
        return
    where = f"; it is in {written}" if written else ""
    print(f"created token {label!r} ({issued['metadata']['id']}){where}", file=sys.stderr)


@tokens.command()
@click.argument("token_id", metavar="ID")
@output_option
@click.pass_context
def revoke(context: click.Context, token_id: str, form: Format) -> None:
    """Revoke a user token and end what runs with it; ID may be the beginning of an id."""
    with current(context).api() as api:
        known = [item["id"] for item in api.tokens()]
        matching = [each for each in known if each.startswith(token_id)]
        if len(matching) > 1 and token_id not in matching:
            raise CliError(
                f"{len(matching)} tokens have an id that starts with {token_id!r}",
                hint="give more of it",
                code=ExitCode.CONFLICT,
            )
        chosen = token_id if token_id in matching or not matching else matching[0]
        api.revoke_token(chosen)
    if form == "json":
        print_json({"revoked": chosen})
    else:
        print(f"revoked token {chosen}")
