"""Profile: which control plane the commands talk to, and with which token."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeops.cli.failures import CliError, ExitCode
from pipeops.runtime.private_file import write_private
from pipeops.runtime.secrets import Secret

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True, slots=True)
class Profile:
    """A control plane and how to be let in.

    Attributes:
        server: Base URL without a trailing slash.
        token: User token; None sends none.
        ca_file: PEM file with CAs to trust besides the system's.
        origin: Where the server's address came from, for messages.
    """

    server: str
    token: Secret[str] | None
    ca_file: Path | None
    origin: str


def state_home(environ: Mapping[str, str]) -> Path:
    """Return where `pipeops up` keeps its data: PIPEOPS_HOME or ~/.local/state/pipeops."""
    chosen = environ.get("PIPEOPS_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "pipeops"


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where a configuration is looked for; the first that exists counts."""
    if environ.get("PIPEOPS_HOME"):
        return (state_home(environ) / CONFIG_FILE,)
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    personal = Path(base).expanduser() / "pipeops" / CONFIG_FILE
    return personal, state_home(environ) / CONFIG_FILE


def load_profile(
    environ: Mapping[str, str] | None = None,
    *,
    server: str | None = None,
    token_file: Path | None = None,
    ca_file: Path | None = None,
) -> Profile:
    """Combine options, environment and configuration file, in this order.

    The file's token and CA belong to the file's server: they are never used for another one.

    Raises:
        CliError: No server is known, or a file cannot be read.
    """
    environ = os.environ if environ is None else environ
    config, path = _read_config(environ)
    chosen = server or environ.get("PIPEOPS_SERVER") or None
    known = config.get("server")
    address = chosen or known
    if address is None:
        raise CliError(
            "no control plane is configured",
            hint="run `pipeops up`, or give --server (or PIPEOPS_SERVER) and a token",
            code=ExitCode.USAGE,
        )
    address = _check_server(address)
    ours = known is not None and address == known.rstrip("/")
    origin = str(path) if chosen is None else "--server" if server else "PIPEOPS_SERVER"
    token = _token(environ, token_file, config.get("token_file") if ours else None)
    trusted = ca_file or _optional_path(environ.get("PIPEOPS_CA_FILE"))
    if trusted is None and ours:
        trusted = _optional_path(config.get("ca_file"))
    return Profile(server=address, token=token, ca_file=trusted, origin=origin)


def save_config(path: Path, *, server: str, token_file: Path, ca_file: Path | None) -> None:
    """Write a configuration file; it names the files with the secrets and holds none itself."""
    content = {"server": server, "token_file": str(token_file)}
    if ca_file is not None:
        content["ca_file"] = str(ca_file)
    write_private(path, yaml.safe_dump(content, sort_keys=False))


def read_token(path: Path) -> Secret[str]:
    """Read a token file.

    Raises:
        CliError: It cannot be read or is empty.
    """
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise CliError(
            f"the token file {path} cannot be read: {why}",
            hint="give --token-file or PIPEOPS_USER_TOKEN",
            code=ExitCode.USAGE,
        ) from error
    if not text:
        raise CliError(f"the token file {path} is empty", code=ExitCode.USAGE)
    return Secret(text)


def _token(
    environ: Mapping[str, str], option: Path | None, configured: str | None
) -> Secret[str] | None:
    if option is not None:
        return read_token(option)
    value = environ.get("PIPEOPS_USER_TOKEN", "").strip()
    if value:
        return Secret(value)
    path = environ.get("PIPEOPS_USER_TOKEN_FILE") or configured
    return read_token(Path(path).expanduser()) if path else None


def _read_config(environ: Mapping[str, str]) -> tuple[dict[str, str], Path]:
    candidates = config_files(environ)
    for path in candidates:
        try:
            loaded = yaml.safe_load(path.read_text("utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CliError(
                f"the configuration {path} cannot be read: {error}", code=ExitCode.USAGE
            ) from error
        if not isinstance(loaded, dict) or not all(
            isinstance(key, str) and isinstance(value, str) for key, value in loaded.items()
        ):
            raise CliError(
                f"the configuration {path} is not a mapping of names to text",
                hint="it holds server, token_file and ca_file",
                code=ExitCode.USAGE,
            )
        for key in ("token_file", "ca_file"):
            if key in loaded:
                loaded[key] = str(path.parent / Path(loaded[key]).expanduser())
        return loaded, path
    return {}, candidates[0]


def _check_server(address: str) -> str:
    if not address.startswith(("https://", "http://")):
        raise CliError(
            f"the server address {address!r} is not a URL",
            hint="write it as https://host:port",
            code=ExitCode.USAGE,
        )
    return address.rstrip("/")


def _optional_path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
