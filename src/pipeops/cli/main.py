"""The `pipeops` program: command tree, error boundary, exit codes."""

import difflib
import os
import sys
from pathlib import Path
from typing import Any

import click

from pipeops import __version__
from pipeops.cli.certificates import certificates
from pipeops.cli.clusters import clusters
from pipeops.cli.domains import domains
from pipeops.cli.failures import MEANINGS, CliError, ExitCode
from pipeops.cli.forwards import forwards
from pipeops.cli.kubeconfig import kubeconfig
from pipeops.cli.presenting import Format, output_option, print_json
from pipeops.cli.routes import routes
from pipeops.cli.session import Session, current
from pipeops.cli.tokens import tokens
from pipeops.cli.up.command import up

_EPILOG = "\b\nExit codes:\n" + "\n".join(
    f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()
)


class _Commands(click.Group):
    """A group that suggests the command which was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail with a suggestion."""
        name = args[0] if args else ""
        if self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            suggestion = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {name!r}.{suggestion}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="pipeops")
@click.option("--server", metavar="URL", help="Control plane to talk to; or PIPEOPS_SERVER.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with your user token; or PIPEOPS_USER_TOKEN_FILE, or the token itself in PIPEOPS_USER_TOKEN.",
)
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CA of the control plane's certificate (PEM); or PIPEOPS_CA_FILE.",
)
@click.pass_context
def cli(
    context: click.Context, server: str | None, token_file: Path | None, ca_file: Path | None
) -> None:
    """Reach Kubernetes clusters that nobody can dial into.

    Start everything on this machine with `pipeops up`. The other commands find that control plane by themselves; for
    another one, give --server and a token, or write server, token_file and ca_file into ~/.config/pipeops/config.yaml.
    """
    context.obj = Session(server=server, token_file=token_file, ca_file=ca_file)


@cli.command()
@output_option
@click.pass_context
def version(context: click.Context, form: Format) -> None:
    """Show the version of this program and of the control plane."""
    document: dict[str, str | None] = {"client": __version__, "server": None, "problem": None}
    try:
        with current(context).api() as api:
            document["server"] = api.version()["version"]
    except CliError as error:
        document["problem"] = str(error)
    if form == "json":
        print_json(document)
        return
    print(f"pipeops          {__version__}")
    print(f"control plane    {document['server'] or 'unknown: ' + str(document['problem'])}")


cli.add_command(up)
cli.add_command(clusters)
cli.add_command(forwards)
cli.add_command(certificates)
cli.add_command(routes)
cli.add_command(domains)
cli.add_command(tokens)
cli.add_command(kubeconfig)


def main(arguments: list[str] | None = None) -> None:
    """Entry point; ends the process with one of the exit codes."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; return the exit code."""
    try:
        result: Any = cli.main(arguments, prog_name="pipeops", standalone_mode=False)
        sys.stdout.flush()
    except CliError as error:
        _complain(str(error), error.hint, error.detail)
        return error.code
    except click.exceptions.Abort:
        print("stopped", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`pipeops … | head`); Python would complain once more
        # when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    return result if isinstance(result, int) else ExitCode.OK


def _complain(message: str, hint: str, detail: tuple[str, ...]) -> None:
    print(f"pipeops: {message}", file=sys.stderr)
    for line in detail:
        print(f"    {line}", file=sys.stderr)
    if hint:
        print(f"  → {hint}", file=sys.stderr)
