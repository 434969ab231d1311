"""`pipeops clusters`: list, show, add, remove, and give another token."""

import shlex
import sys
from operator import itemgetter
from pathlib import Path

import click

from pipeops.cli.client import Json
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.presenting import (
    Cell,
    Format,
    age,
    duration,
    output_option,
    print_fields,
    print_json,
    print_table,
    show_done,
    show_list,
    span,
    until,
)
from pipeops.cli.profile import Profile
from pipeops.cli.session import current
from pipeops.cli.token_files import deliver_token, refuse_existing

_expires_in = click.option(
    "--expires-in", type=duration, metavar="DURATION", help="For example 30d; default: never."
)
_token_file = click.option(
    "--write-token",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Where to put the token (mode 0600), '-' for standard output.  [default: NAME.token]",
)


@click.group()
def clusters() -> None:
    """Clusters that can be reached, and their agents' tokens."""


@clusters.command("list")
@output_option
@click.pass_context
def list_clusters(context: click.Context, form: Format) -> None:
    """List the clusters that your token may reach."""
    session = current(context)
    with session.api() as api:
        items = api.clusters()
    now = session.clock.wall()
    columns: dict[str, Cell] = {
        "name": itemgetter("name"),
        "status": _status,
        "kubernetes": lambda item: str(item["facts"].get("k8s_version", "-")),
        "agent": lambda item: item["connection"]["agent_version"] or "-",
        "last seen": lambda item: age(item["last_seen_at"], now),
    }
    show_list(items, form, columns, empty="no clusters; add one with `pipeops clusters add NAME`")


@clusters.command()
@click.argument("name")
@output_option
@click.pass_context
def show(context: click.Context, name: str, form: Format) -> None:
    """Show one cluster: its connection, facts and tokens."""
    session = current(context)
    with session.api() as api:
        item = api.cluster(name)
    if form == "json":
        print_json(item)
        return
    now = session.clock.wall()
    connection = item["connection"]
    fields = {
        "name": item["name"],
        "id": item["id"],
        "status": _status(item),
        "created": age(item["created_at"], now),
        "last seen": age(item["last_seen_at"], now),
    }
    if connection["connected"]:
        fields |= {
            "connected": age(connection["since"], now),
            "agent": f"{connection['agent_version'] or 'unknown version'}, "
            f"{connection['dialect']} dialect",
            "instances": f"{connection['instances']}, with {connection['lanes']} lanes",
            "round trip": _milliseconds(connection["rtt_ms"]),
        }
    fields |= {f"fact {key}": str(value) for key, value in sorted(item["facts"].items())}
    print_fields(fields)
    if item["tokens"]:
        print()
        rows = [
            (
                token["id"],
                f"{token['prefix']}…",
                "revoked" if token["revoked_at"] else until(token["expires_at"], now),
                age(token["last_used_at"], now),
            )
            for token in item["tokens"]
        ]
        print_table(("token id", "token", "expires", "last used"), rows)


@clusters.command()
@click.argument("name")
@_expires_in
@_token_file
@output_option
@click.pass_context
def add(
    context: click.Context,
    *,
    name: str,
    expires_in: float | None,
    write_token: Path | None,
    form: Format,
) -> None:
    """Add a cluster and print the one command that starts its agent.

    The token goes to a file that only you can read; it is shown nowhere else and never again.
    """
    path = write_token or Path(f"{name}.token")
    refuse_existing(path)
    with current(context).api() as api:
        issued = api.add_cluster(name, expires_in)
        profile = api.profile
    _hand_over(issued, path, profile, form, f"added cluster {name!r}")


@clusters.command("token")
@click.argument("name")
@_expires_in
@_token_file
@click.option(
    "--revoke-others", is_flag=True, help="Disconnect agents that still use an older token."
)
@output_option
@click.pass_context
def issue_token(
    context: click.Context,
    *,
    name: str,
    expires_in: float | None,
    write_token: Path | None,
    revoke_others: bool,
    form: Format,
) -> None:
    """Issue another token for a cluster's agents."""
    path = write_token or Path(f"{name}.token")
    refuse_existing(path)
    with current(context).api() as api:
        issued = api.issue_cluster_token(name, expires_in=expires_in, revoke_others=revoke_others)
        profile = api.profile
    _hand_over(issued, path, profile, form, f"issued a token for cluster {name!r}")


@clusters.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@click.pass_context
def remove(
    context: click.Context,
    *,
    name: str,
    yes: bool,
    form: Format,
) -> None:
    """Remove a cluster: revoke its tokens and disconnect its agents."""
    with current(context).api() as api:
        api.cluster(name)
        if not yes:
            if not sys.stdin.isatty():
                raise CliError(
                    f"removing {name!r} disconnects its agents and cannot be undone",
                    hint="repeat the command with --yes",
                    code=ExitCode.USAGE,
                )
            click.confirm(f"Remove cluster {name!r} and disconnect its agents?", abort=True)
        api.remove_cluster(name)
    show_done(form, {"removed": name}, f"removed cluster {name!r}")


def agent_command(profile: Profile, name: str, token_file: str) -> str:
    """Return the shell command that starts an agent; it names the token's file, not the token."""
    words = ["pipeops-agent", "--pipeops-url", profile.server]
    words += ["--token-file", token_file, "--cluster-name", name]
    if profile.ca_file is not None:
        words += ["--ca-file", str(profile.ca_file.absolute())]
    return shlex.join(words)


def _hand_over(issued: Json, path: Path, profile: Profile, form: Format, done: str) -> None:
    name = issued["cluster"]["name"]
    written = deliver_token(issued["token"], path, f"cluster {name!r}")
    command = agent_command(profile, name, str(written) if written else "NAME-OF-TOKEN-FILE")
    # With '-' the token itself is the standard output, so everything else goes beside it.
    stream = sys.stderr if written is None else sys.stdout
    if form == "json":
        document = {
            "cluster": issued["cluster"],
            "token_id": issued["token_id"],
            "token_file": None if written is None else str(written),
            "expires_at": issued["expires_at"],
            "command": command,
        }
        print_json(document, stream)
        return
    print(f"{done}; its token is in {written}" if written else done, file=sys.stderr)
    print("start its agent where the cluster can be reached:\n", file=sys.stderr)
    print(command, file=stream)


def _status(item: Json) -> str:
    if item["connection"]["connected"]:
        return "connected"
    return "disconnected" if item["last_seen_at"] else "never connected"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "not measured yet"
    return f"{value:.1f} ms" if value < 1000 else span(value / 1000)
