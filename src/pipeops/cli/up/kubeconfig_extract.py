"""Extracts one context of a kubeconfig into a document of its own, for the agent."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeops.cli.failures import CliError
from pipeops.kube.kubeconfig import search_paths

_CLUSTER_PATHS = ("certificate-authority",)
_USER_PATHS = ("client-certificate", "client-key", "tokenFile")

Document = dict[str, Any]


def kubeconfig_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the kubeconfig files that kubectl would read, as far as they exist."""
    home = environ.get("HOME")
    candidates = search_paths(environ.get("KUBECONFIG"), Path(home) if home else None)
    return tuple(path.absolute() for path in candidates if path.is_file())


def extract(files: Iterable[Path], context: str) -> Document:
    """Return a kubeconfig with only this context, and paths that hold anywhere.

    Where several files define a name the first one counts, as for kubectl.

    Raises:
        CliError: A file cannot be read, or the context is not complete.
    """
    found = [(path, _read(path)) for path in files]
    chosen, _ = _named(found, "contexts", "context", context)
    cluster, cluster_file = _named(found, "clusters", "cluster", str(chosen.get("cluster")))
    user: Document = {}
    if chosen.get("user"):
        user, user_file = _named(found, "users", "user", str(chosen["user"]))
        user = _absolute(user, _USER_PATHS, user_file)
        plugin = user.get("exec")
        if isinstance(plugin, dict) and "/" in str(plugin.get("command", "")):
            user["exec"] = _absolute(plugin, ("command",), user_file)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "cluster", "cluster": _absolute(cluster, _CLUSTER_PATHS, cluster_file)}
        ],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": context, "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": context,
    }


def current_context(files: Iterable[Path]) -> str | None:
    """Return the context that kubectl would use, None where none is set.

    Raises:
        CliError: A file cannot be read.
    """
    for path in files:
        name = _read(path).get("current-context")
        if name:
            return str(name)
    return None


def _read(path: Path) -> Document:
    try:
        loaded = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not YAML"
        raise CliError(f"the kubeconfig {path} cannot be read: {why}") from error
    return loaded if isinstance(loaded, dict) else {}


def _named(
    found: list[tuple[Path, Document]], section: str, key: str, name: str
) -> tuple[Document, Path]:
    for path, document in found:
        for item in document.get(section) or ():
            if isinstance(item, dict) and item.get("name") == name:
                value = item.get(key)
                return (dict(value) if isinstance(value, dict) else {}), path
    where = ", ".join(str(path) for path, _ in found) or "no kubeconfig"
    raise CliError(
        f"{where}: there is no {key} named {name!r}",
        hint="`kubectl config get-contexts` lists what there is",
    )


def _absolute(values: Document, keys: Iterable[str], file: Path) -> Document:
    changed = dict(values)
    for key in keys:
        if changed.get(key):
            changed[key] = str(file.parent / str(changed[key]))
    return changed
