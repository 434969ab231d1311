"""State in a YAML file, found and migrated as the Go agent's was."""

import asyncio
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pipeops.agent.state.fields import (
    CORRUPT,
    AgentState,
    StateDeniedError,
    StateError,
    is_sound,
)
from pipeops.agent.state.lock import locked
from pipeops.runtime.clock import Clock
from pipeops.runtime.documents import DocumentError, read_yaml
from pipeops.runtime.logs import get_logger
from pipeops.runtime.private_file import write_private
from pipeops.runtime.secrets import Secret

log = get_logger(__name__)

NAME: Final = "agent-state.yaml"
_KEYS: Final = ("agent_id", "cluster_id", "cluster_token", "cluster_cert_data", "gateway_ws_url")
#: Of this file only: what another place remembers was published by another agent.
_HOSTS: Final = "gateway_hosts"
_LEGACY: Final = {
    "agent_id": "agent-id",
    "cluster_id": "cluster-id",
    "cluster_token": "cluster-token",
}
_SHARED: Final = 0o077
_LONGEST_LEGACY: Final = 65_536


def candidates(root: Path = Path("/"), here: Path = Path()) -> list[Path]:
    """Return the places of the state file, best first."""
    return [
        root / "var/lib/pipeops" / NAME,
        root / "etc/pipeops" / NAME,
        here / "tmp" / NAME,
        here / f".pipeops-{NAME}",
    ]


def find_place(root: Path = Path("/"), here: Path = Path()) -> Path | None:
    """Return the first place whose directory can be written, None if all file systems are read-only.

    Only `tmp/` is created.
    """
    for path in candidates(root, here):
        if path.parent.name == "tmp" and path.parent == here / "tmp":
            with suppress(OSError):
                path.parent.mkdir(mode=0o700, exist_ok=True)
        if _is_writable(path.parent):
            return path
    return None


class FileStore:
    """One state file.

    What is not in it is looked for in `fallbacks` (state files of other places, which may be on read-only
    file systems) and then in the one-value files of the first Go agents.
    """

    shared = False

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        fallbacks: Iterable[Path] = (),
        legacy: Iterable[str] = (),
    ) -> None:
        """`legacy` are path prefixes: `/var/lib/pipeops/` for `/var/lib/pipeops/agent-id`, or `.pipeops-`."""
        self._path = path
        self._clock = clock
        self._fallbacks = [other for other in fallbacks if other != path]
        self._legacy = list(legacy)
        self._content: dict[str, Any] = {}

    @property
    def location(self) -> str:
        """See `StateStore`."""
        return f"file:{self._path}"

    async def load(self) -> AgentState:
        """See `StateStore`. A file that is no YAML mapping is renamed to `….corrupt-TIME`."""
        return await asyncio.to_thread(self._load)

    async def save(self, changes: dict[str, str]) -> None:
        """See `StateStore`."""
        await asyncio.to_thread(self._save, changes)

    def _load(self) -> AgentState:
        self._content = self._read()
        self._set_unsound_aside()
        found = {key: _text(self._content.get(key)) for key in _KEYS}
        self._fill_from_others(found)
        migrated = self._fill_from_legacy(found)
        if migrated:
            self._migrate(found, migrated)
        epoch = self._content.get("epoch")
        return AgentState(
            agent_id=found["agent_id"],
            cluster_id=found["cluster_id"],
            gateway_ws_url=found["gateway_ws_url"],
            cluster_token=Secret(found["cluster_token"]),
            cluster_cert_data=found["cluster_cert_data"],
            gateway_hosts=_text(self._content.get(_HOSTS)),
            epoch=epoch if isinstance(epoch, int) else 0,
        )

    def _read(self) -> dict[str, Any]:
        try:
            mode = self._path.stat().st_mode
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StateError(f"state file {self._path}: {error.strerror or error}") from error
        if mode & _SHARED:
            log.warning("others could read the state file; now only its owner can", path=self._path)
            with suppress(OSError):
                self._path.chmod(0o600)
        try:
            with self._path.open("rb"):
                pass  # told apart from a damaged file: a read error loses nothing
        except OSError as error:
            raise StateError(f"state file {self._path}: {error.strerror or error}") from error
        try:
            content = read_yaml(self._path, "state file")
            problem = "it is not a mapping"
        except DocumentError as error:
            content, problem = "", str(error)
        if content is None:
            return {}
        if isinstance(content, dict):
            return {str(key): value for key, value in content.items()}
        self._set_aside(problem)
        return {}

    def _set_aside(self, problem: str) -> None:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        aside = self._path.with_name(f"{self._path.name}.corrupt-{stamp}-{secrets.token_hex(2)}")
        try:
            self._path.rename(aside)
        except OSError as error:
            # It must not be overwritten, and it cannot be moved: stay away from it.
            raise StateDeniedError(
                f"state file {self._path} is damaged ({problem}) and cannot be renamed:"
                f" {error.strerror or error}"
            ) from error
        log.error("the state file is damaged; it was put aside", kept_as=aside, problem=problem)

    def _set_unsound_aside(self) -> None:
        for key in (*_KEYS, _HOSTS):
            value = self._content.get(key)
            if value is None or is_sound(key, _text(value)):
                continue
            log.error("a stored value cannot be used; it was put aside", key=key, place=self._path)
            self._content[key + CORRUPT] = self._content.pop(key)

    def _fill_from_others(self, found: dict[str, str]) -> None:
        for other in self._fallbacks:
            if all(found.values()):
                return
            try:
                content = read_yaml(other, "state file") if other.is_file() else None
            except DocumentError as error:
                log.warning("a state file is not used", problem=str(error))
                continue
            if not isinstance(content, dict):
                continue
            for key in _KEYS:
                value = _text(content.get(key))
                if value and not found[key] and is_sound(key, value):
                    found[key] = value
                    self._content.setdefault(key, value)

    def _fill_from_legacy(self, found: dict[str, str]) -> list[Path]:
        """Fill empty values only: the one-value files are older than any state file."""
        used = []
        for key, name in _LEGACY.items():
            for prefix in self._legacy:
                path = Path(prefix + name)
                value = _first_line(path)
                if value and is_sound(key, value):
                    if not found[key]:
                        found[key] = value
                    used.append(path)
                    break
        return used

    def _migrate(self, found: dict[str, str], files: list[Path]) -> None:
        try:
            self._save({key: value for key, value in found.items() if value})
        except StateError as error:
            log.warning("old state files were read but not migrated", problem=str(error))
            return
        for path in files:
            with suppress(OSError):  # on a read-only file system it stays, and is read again
                path.rename(path.with_name(path.name + ".migrated"))
        log.info(
            "old state files were migrated", to=self._path, files=[str(each) for each in files]
        )

    def _save(self, changes: dict[str, str]) -> None:
        import yaml  # noqa: PLC0415 - an agent whose state is in the cluster never pays for it

        try:
            with locked(self._path):
                # Another process of this machine may have written since we looked.
                content = {**self._content, **self._now(), **changes}
                if "epoch" in content:
                    content["epoch"] = int(content["epoch"])
                write_private(self._path, yaml.safe_dump(content, sort_keys=True))
        except OSError as error:
            raise StateError(f"state file {self._path}: {error.strerror or error}") from error
        self._content = content

    def _now(self) -> dict[str, Any]:
        """Return what is sound of the file as it is now; what is not has been put aside, or will be at the next start."""
        try:
            found = read_yaml(self._path, "state file") if self._path.is_file() else None
        except DocumentError:
            return {}
        if not isinstance(found, dict):
            return {}
        unsound = {key for key in _KEYS if not is_sound(key, _text(found.get(key)))}
        return {str(key): value for key, value in found.items() if key not in unsound}


def file_store(clock: Clock, *, root: Path = Path("/"), here: Path = Path()) -> FileStore | None:
    """Return the store at the usual places, None where nothing can be written."""
    place = find_place(root, here)
    if place is None:
        return None
    legacy = [f"{root / 'var/lib/pipeops'}/", f"{root / 'etc/pipeops'}/", f"{here / '.pipeops-'}"]
    return FileStore(place, clock, fallbacks=candidates(root, here), legacy=legacy)


def _is_writable(directory: Path) -> bool:
    """Try it: permissions alone do not tell a read-only or full file system."""
    probe = directory / f".pipeops-probe-{secrets.token_hex(4)}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    os.close(descriptor)
    with suppress(OSError):
        probe.unlink()
    return True


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_LEGACY).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _text(value: object) -> str:
    return "" if value is None else str(value)
