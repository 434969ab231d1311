"""Registration: the person's token and the cluster's, made on the first run and kept."""

import socket
from pathlib import Path

from pipeops.cli.client import ApiClient
from pipeops.cli.failures import CliError, ExitCode
from pipeops.cli.profile import read_token
from pipeops.cli.up.home import Home
from pipeops.cli.up.identity import Identity
from pipeops.cli.up.state import UpState
from pipeops.runtime.private_file import write_private
from pipeops.runtime.secrets import Secret


def ensure_user_token(
    admin: ApiClient, known: ApiClient | None, home: Home, state: UpState, identity: Identity
) -> Secret[str]:
    """Return a token of the person, an administrator here and `identity` in clusters.

    Args:
        admin: Client with the administrator's token.
        known: Client with the token of an earlier run, if there is one.
        home: Where the token is kept.
        state: Remembers the token's id.
        identity: Whom the token stands for.

    Raises:
        CliError: The control plane refused, or the file cannot be written.
    """
    if known is not None and known.profile.token is not None and _still_fits(known, identity):
        return known.profile.token
    issued = admin.create_token(
        {
            "label": f"pipeops up on {socket.gethostname()}",
            "user": identity.user,
            "groups": list(identity.groups),
            "role": "admin",
        }
    )
    _write(home.user_token, issued["token"])
    if state.user_token_id is not None:
        _revoke(admin, state.user_token_id)
    state.user_token_id = issued["metadata"]["id"]
    return Secret(issued["token"])


def ensure_cluster(admin: ApiClient, home: Home, state: UpState, name: str) -> Path:
    """Register the cluster if need be; return the file with its agent's token.

    Raises:
        CliError: The control plane refused, or the file cannot be written.
    """
    path = home.agent / f"{name}.token"
    try:
        cluster = admin.cluster(name)
    except CliError as error:
        if error.code is not ExitCode.NOT_FOUND:
            raise
        issued = admin.add_cluster(name)
    else:
        valid = {item["id"] for item in cluster["tokens"] or () if not item["revoked_at"]}
        if path.is_file() and state.cluster_token_ids.get(name) in valid:
            return path
        issued = admin.issue_cluster_token(name, revoke_others=True)
    _write(path, issued["token"])
    state.cluster_token_ids[name] = issued["token_id"]
    return path


def stored_token(path: Path) -> Secret[str] | None:
    """Return the token of an earlier run, None where there is none to be read."""
    try:
        return read_token(path)
    except CliError:
        return None


def _still_fits(known: ApiClient, identity: Identity) -> bool:
    try:
        who = known.whoami()
    except CliError as error:
        if error.code is ExitCode.REFUSED:
            return False
        raise
    same = who["user"] == identity.user and tuple(who["groups"]) == identity.groups
    return bool(same and who["role"] == "admin" and who["clusters"] is None)


def _revoke(admin: ApiClient, token_id: str) -> None:
    try:
        admin.revoke_token(token_id)
    except CliError as error:
        # The database may have been replaced, and the token with it.
        if error.code is not ExitCode.NOT_FOUND:
            raise


def _write(path: Path, token: str) -> None:
    try:
        write_private(path, token + "\n")
    except OSError as error:
        raise CliError(
            f"the token file {path} cannot be written: {error.strerror}",
            hint="check the disk's free space and the directory's owner",
        ) from error
