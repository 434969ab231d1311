"""Where a policy is kept (file or ConfigMap), and PolicyWatch: the service that follows its changes."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

import msgspec

from pipeops.agent.policy.document import PolicyError, parse
from pipeops.agent.policy.guard import PolicyGuard
from pipeops.agent.policy.rules import Policy
from pipeops.errors import PipeOpsError
from pipeops.runtime.documents import MAX_BYTES
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

KEY: Final = "policy.yaml"  # in the ConfigMap
FILE_INTERVAL: Final = 2.0  # seconds between looks at the file
CONFIG_MAP_INTERVAL: Final = 30.0  # seconds between requests


class Source(Protocol):
    """Gives the text of a policy."""

    interval: float

    @property
    def place(self) -> str:
        """What errors call it."""

    async def read(self) -> bytes:
        """Return the text now. Raises `PipeOpsError`."""


class FileSource:
    """A file; a mounted ConfigMap is one too."""

    interval = FILE_INTERVAL

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    @property
    def place(self) -> str:
        """The path."""
        return str(self._path)

    async def read(self) -> bytes:
        """Read the whole file; it is small and local."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PolicyError(f"policy {self._path}: {error.strerror or error}") from error
        if len(text) > MAX_BYTES:
            raise PolicyError(f"policy {self._path}: larger than {MAX_BYTES} bytes")
        return text


class _ConfigMap(msgspec.Struct):
    data: dict[str, str] = msgspec.field(default_factory=dict)


class Client(Protocol):
    """What a ConfigMap is read with: `kube.client.KubeClient`."""

    async def get(self, path: str, kind: type[_ConfigMap]) -> _ConfigMap:
        """GET and decode."""


class ConfigMapSource:
    """Key `policy.yaml` of a ConfigMap, asked for every 30 s; needs `get` on that one object."""

    interval = CONFIG_MAP_INTERVAL

    def __init__(self, name: str, client: Client) -> None:
        """`name` is `namespace/name`."""
        self._namespace, _, self._name = name.partition("/")
        self._client = client

    @property
    def place(self) -> str:
        """Namespace and name."""
        return f"ConfigMap {self._namespace}/{self._name}"

    async def read(self) -> bytes:
        """Ask the API server."""
        path = f"/api/v1/namespaces/{self._namespace}/configmaps/{self._name}"
        found = await self._client.get(path, _ConfigMap)
        if KEY not in found.data:
            raise PolicyError(f"policy {self.place}: it has no key {KEY}")
        return found.data[KEY].encode()


def read_policy(text: bytes, place: str) -> Policy:
    """Return the policy of a YAML text. Raises `PolicyError`."""
    # Imported here: an agent without a policy file may never need the parser.
    import yaml  # noqa: PLC0415

    class Strict(yaml.SafeLoader):
        """A key that is given twice would hide what the first one forbids."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 -- PyYAML's signature
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is given twice", key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        content: object = yaml.load(text, Strict)  # noqa: S506 -- a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise PolicyError(f"policy {place}: {where}{error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise PolicyError(f"policy {place}: it is not YAML text") from error
    return parse(content, place)


class PolicyWatch:
    """A service: puts a changed policy in force; a bad or missing one leaves the old one there, loudly.

    Attributes:
        guard: asks the policy in force.
        failure: why the text now in the source is not in force; empty when it is.
    """

    def __init__(self, source: Source, guard: PolicyGuard, text: bytes) -> None:
        self._source = source
        self.guard = guard
        self._text = text
        self.failure = ""

    @classmethod
    async def start(cls, source: Source, *, api_hosts: Sequence[str] = ()) -> Self:
        """Read the policy at start, when a bad one is fatal; `api_hosts` as in `PolicyGuard`.

        Raises:
            PolicyError: it cannot be read, or is wrong.
        """
        try:
            text = await source.read()
        except PolicyError:
            raise
        except PipeOpsError as error:
            raise PolicyError(f"policy {source.place}: {error}") from error
        return cls(source, PolicyGuard(read_policy(text, source.place), api_hosts=api_hosts), text)

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "policy"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: look for changes until cancelled."""
        ready()
        while True:
            await asyncio.sleep(self._source.interval)
            await self.look()

    async def look(self) -> None:
        """Look once. Whatever is wrong is logged once, until something else is wrong or it is well again."""
        try:
            text = await self._source.read()
            if text == self._text:
                self._well()
                return
            self.guard.replace(read_policy(text, self._source.place))
        except PipeOpsError as error:
            if str(error) != self.failure:
                self.failure = str(error)
                log.error(  # noqa: TRY400 -- the text says it all
                    "the new policy is not used, the old one stays in force", error=self.failure
                )
            return
        self._text = text
        log.info("policy changed", source=self._source.place)
        self.failure = ""

    def _well(self) -> None:
        if self.failure:
            log.info(
                "the policy in force is the one in its source again", source=self._source.place
            )
            self.failure = ""
