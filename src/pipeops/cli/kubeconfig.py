"""`pipeops kubeconfig`: what kubectl needs to reach a cluster through the control plane."""

import sys
from pathlib import Path

import click

from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.kubeconfigs import (
    default_kubeconfig,
    dump,
    make_kubeconfig,
    merge_into_file,
    read_ca,
    write_kubeconfig,
)
from pipeops.cli.presenting import print_json
from pipeops.cli.session import current


@click.command()
@click.argument("cluster")
@click.option(
    "--merge", is_flag=True, help="Add to $KUBECONFIG or ~/.kube/config and switch to it."
)
@click.option(
    "--output-file",
    "--file",
    "-f",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write here (mode 0600); with --merge, merge into this file.",
)
@click.option("--context", "context_name", help="Name of the context.  [default: pipeops-CLUSTER]")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["yaml", "json", "table"]),
    default="yaml",
    show_default=True,
    help="Format of what is printed.",
)
@click.pass_context
def kubeconfig(
    context: click.Context,
    *,
    cluster: str,
    merge: bool,
    path: Path | None,
    context_name: str | None,
    form: str,
) -> None:
    """Print a kubeconfig for CLUSTER, or write or merge it.

    It holds your token in clear: keep it as you keep the token.
    """
    with current(context).api() as api:
        found = api.cluster(cluster)
        profile = api.profile
    if profile.token is None:
        raise CliError("a kubeconfig needs a token", code=ExitCode.REFUSED)
    if profile.server.startswith("http://"):
        print(
            "warning: kubectl sends no token over http://; it needs the control plane's https:// address",
            file=sys.stderr,
        )
    document = make_kubeconfig(
        server=profile.server,
        cluster=found["name"],
        token=profile.token,
        ca=read_ca(profile.ca_file),
        context=context_name or f"pipeops-{found['name']}",
    )
    if not merge and path is None:
        if form == "json":
            print_json(document)
        else:
            print(dump(document), end="")
        return
    target = path or default_kubeconfig()
    if merge:
        merge_into_file(target, document)
    else:
        write_kubeconfig(target, document)
    written = {"file": str(target.absolute()), "context": document["current-context"]}
    if form == "json":
        print_json(written)
    else:
        done = "merged into" if merge else "written to"
        print(f"context {written['context']!r} {done} {written['file']}", file=sys.stderr)
