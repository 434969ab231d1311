"""UpState: what one run decided and the next one keeps: ports, cluster, ids of tokens."""

from pathlib import Path

import msgspec

from pipeops.cli.failures import CliError
from pipeops.runtime.private_file import write_private


class UpState(msgspec.Struct, kw_only=True):
    """Decisions of earlier runs; None where there was none yet.

    Attributes:
        control_port: Port of the control plane.
        sim_port: Port of the simulated cluster.
        kubeconfig: File of the cluster that was chosen; None with `context` None is the simulated one.
        context: Context in that file.
        user_token_id: Id of the token in the user token file.
        cluster_token_ids: Id of each cluster's token, by cluster name.
    """

    control_port: int | None = None
    sim_port: int | None = None
    kubeconfig: str | None = None
    context: str | None = None
    user_token_id: str | None = None
    cluster_token_ids: dict[str, str] = {}


def load_state(path: Path) -> UpState:
    """Read the state; a missing file is an empty one.

    Raises:
        CliError: It cannot be read or understood.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=UpState)
    except FileNotFoundError:
        return UpState()
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CliError(
            f"the state file {path} cannot be read: {error}",
            hint="remove it: ports and the chosen cluster are then decided anew",
        ) from error


def save_state(path: Path, state: UpState) -> None:
    """Write the state; it holds no secret.

    Raises:
        CliError: It cannot be written.
    """
    try:
        write_private(path, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
    except OSError as error:
        raise CliError(
            f"the state file {path} cannot be written: {error.strerror}",
            hint="check the disk's free space and the directory's owner",
        ) from error
