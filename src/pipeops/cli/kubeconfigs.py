"""Kubeconfigs that lead through the control plane: made, written, merged."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeops.cli.failures import CliError, ExitCode
from pipeops.runtime.private_file import write_private
from pipeops.runtime.secrets import Secret

Document = dict[str, Any]


def make_kubeconfig(
    *, server: str, cluster: str, token: Secret[str], ca: bytes | None, context: str
) -> Document:
    """Return a kubeconfig with one context.

    Args:
        server: Base URL of the control plane.
        cluster: Name of the cluster there.
        token: User token; the document holds it in clear.
        ca: PEM certificates to trust; None trusts the system's.
        context: Name for cluster, user and context.
    """
    target: Document = {"server": f"{server}/k8s/{cluster}"}
    if ca is not None:
        target["certificate-authority-data"] = base64.b64encode(ca).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": target}],
        "users": [{"name": context, "user": {"token": token.reveal()}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


def merge(existing: Document, added: Document) -> Document:
    """Return `existing` with the entries of `added`, which replace those of the same name."""
    merged = dict(existing)
    for section in ("clusters", "users", "contexts"):
        new = {item["name"]: item for item in added[section]}
        old = existing.get(section) or []
        if not isinstance(old, list) or not all(isinstance(item, dict) for item in old):
            raise CliError(f"the kubeconfig's {section} are not a list of entries")
        kept = [item for item in old if item.get("name") not in new]
        merged[section] = [*kept, *new.values()]
    merged.setdefault("apiVersion", "v1")
    merged.setdefault("kind", "Config")
    merged["current-context"] = added["current-context"]
    return merged


def merge_into_file(path: Path, added: Document) -> None:
    """Merge into a kubeconfig file, made if it is missing.

    Raises:
        CliError: It cannot be read or written, or is no kubeconfig.
    """
    path = path.resolve()
    try:
        existing = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        existing = {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not YAML"
        raise CliError(f"the kubeconfig {path} cannot be read: {why}") from error
    if not isinstance(existing, dict):
        raise CliError(f"{path} is not a kubeconfig", hint="choose another file with --output-file")
    write_kubeconfig(path, merge(existing, added))


def write_kubeconfig(path: Path, document: Document) -> None:
    """Write a kubeconfig with mode 0600, making its directory.

    Raises:
        CliError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, dump(document))
    except OSError as error:
        raise CliError(f"the kubeconfig {path} cannot be written: {error.strerror}") from error


def dump(document: Document) -> str:
    """Return the YAML text of a kubeconfig."""
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def default_kubeconfig(environ: Mapping[str, str] | None = None) -> Path:
    """Return the file that kubectl would write to."""
    environ = os.environ if environ is None else environ
    listed = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(listed[0]) if listed else Path("~/.kube/config").expanduser()


def read_ca(path: Path | None) -> bytes | None:
    """Read the CA file of a profile.

    Raises:
        CliError: It cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise CliError(
            f"the CA file {path} cannot be read: {error.strerror}", code=ExitCode.USAGE
        ) from error
