"""Session: what every command shares: the chosen profile, opened when needed, and the clock."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import click

from pipeops.cli.client import ApiClient
from pipeops.cli.profile import Profile, load_profile
from pipeops.runtime.clock import Clock


@dataclass(slots=True)
class Session:
    """Options given before the command, and what follows from them."""

    server: str | None
    token_file: Path | None
    ca_file: Path | None
    clock: Clock = field(default_factory=Clock)

    def profile(self) -> Profile:
        """Return which control plane to talk to; raises `CliError` when none is known."""
        return load_profile(server=self.server, token_file=self.token_file, ca_file=self.ca_file)

    def api(self) -> ApiClient:
        """Open a client of the API; the caller closes it."""
        return ApiClient(self.profile())


def current(context: click.Context) -> Session:
    """Return the session of a running command."""
    return cast(Session, context.obj)
