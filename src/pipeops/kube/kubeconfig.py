"""Kubeconfig files: their structure, reading them, and merging several as kubectl does."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeops.kube.errors import KubeConfigError
from pipeops.runtime.documents import DocumentError, read_yaml


class Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    """Where a cluster is, and how to know that it is the right one."""

    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    disable_compression: bool = False
    extensions: list[dict[str, Any]] | None = None


class EnvVar(msgspec.Struct, frozen=True):
    """One variable for an exec plugin."""

    name: str
    value: str


class Exec(msgspec.Struct, frozen=True, rename="camel"):
    """A command that prints a credential."""

    command: str = ""
    api_version: str = ""
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    install_hint: str | None = None
    interactive_mode: str | None = None
    provide_cluster_info: bool = False


class User(msgspec.Struct, frozen=True, rename="kebab"):
    """How to prove who we are."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    exec: Exec | None = None
    auth_provider: dict[str, Any] | None = None
    as_user: str | None = msgspec.field(default=None, name="as")

    def __repr__(self) -> str:
        """Never show what is in here."""
        return "User(***)"


class Context(msgspec.Struct, frozen=True):
    """A cluster and a user under one name."""

    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: Cluster | None = None


class _NamedUser(msgspec.Struct):
    name: str
    user: User | None = None


class _NamedContext(msgspec.Struct):
    name: str
    context: Context | None = None


class _Document(msgspec.Struct, rename="kebab"):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None


class Kubeconfig(msgspec.Struct):
    """One or several files merged; each entry remembers the file it came from."""

    files: list[Path]
    current_context: str = ""
    clusters: dict[str, tuple[Cluster, Path]] = msgspec.field(default_factory=dict)
    users: dict[str, tuple[User, Path]] = msgspec.field(default_factory=dict)
    contexts: dict[str, Context] = msgspec.field(default_factory=dict)


def read(paths: Iterable[Path]) -> Kubeconfig:
    """Read and merge files: for each name, and for the current context, the first file wins.

    Raises:
        KubeConfigError: a file cannot be read or understood; the message names the line or key.
    """
    merged = Kubeconfig(files=[])
    for path in paths:
        document = _read_one(path)
        merged.files.append(path)
        merged.current_context = merged.current_context or document.current_context or ""
        for cluster in document.clusters or ():
            merged.clusters.setdefault(cluster.name, (cluster.cluster or Cluster(), path))
        for user in document.users or ():
            merged.users.setdefault(user.name, (user.user or User(), path))
        for context in document.contexts or ():
            merged.contexts.setdefault(context.name, context.context or Context())
    return merged


def search_paths(variable: str | None, home: Path | None) -> Iterator[Path]:
    """Yield the files kubectl would read: those of `KUBECONFIG`, else `~/.kube/config`.

    Files named in `KUBECONFIG` that do not exist are skipped, as kubectl skips them.
    """
    if variable:
        for entry in variable.split(":"):
            path = Path(entry)
            if entry and path.is_file():
                yield path
    elif home is not None and (default := home / ".kube" / "config").is_file():
        yield default


def _read_one(path: Path) -> _Document:
    try:
        return msgspec.convert(read_yaml(path, "kubeconfig") or {}, _Document)
    except DocumentError as error:
        raise KubeConfigError(str(error)) from error
    except msgspec.ValidationError as error:
        raise KubeConfigError(f"kubeconfig {path}: {error}") from error
