"""Cache: a sink that keeps the objects of a collection by name and tells what has changed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

from pipeops.kube.watching import Change
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

LIMIT: Final = 100_000


class HasName(Protocol):
    """`metadata` of a kept object."""

    name: str
    namespace: str
    resource_version: str


class Named(Protocol):
    """An object with a name."""

    @property
    def metadata(self) -> HasName:
        """With name, namespace and resource version."""


N = TypeVar("N", bound=Named)
Key = tuple[str, str]
#: Called with the key, the object before (None: it is new) and after (None: it is gone).
Observer = Callable[[Key, N | None, N | None], None]


def key_of(item: Named) -> Key:
    """Return namespace and name; the namespace is empty for cluster-wide kinds."""
    return item.metadata.namespace, item.metadata.name


class Cache(Generic[N]):
    """Objects by (namespace, name). Filled by a `Reflector`; read it from the same event loop.

    Attributes:
        overflowed: objects were refused because of `limit`: the cache does not hold everything.
    """

    def __init__(self, observer: Observer[N] | None = None, *, limit: int = LIMIT) -> None:
        self._observer = observer
        self._limit = limit
        self._items: dict[Key, N] = {}
        self._seen: set[Key] = set()
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[N]:
        return iter(tuple(self._items.values()))

    def get(self, namespace: str, name: str) -> N | None:
        """Return one object, None if there is none of that name."""
        return self._items.get((namespace, name))

    def begin(self) -> None:
        """Sink: mark; `finish` sweeps."""
        self._seen = set()

    def page(self, items: Sequence[N]) -> None:
        """Sink: objects that did not change since the last list are not reported."""
        for item in items:
            key = key_of(item)
            self._seen.add(key)
            before = self._items.get(key)
            if before is None or _version(before) != _version(item):
                self._put(key, before, item)

    def finish(self) -> None:
        """Sink: whatever the list did not have is gone."""
        for key in [key for key in self._items if key not in self._seen]:
            self._tell(key, self._items.pop(key), None)
        self._seen = set()
        self.overflowed = self.overflowed and len(self._items) >= self._limit

    def change(self, change: Change, item: N) -> None:
        """Sink: one object."""
        key = key_of(item)
        if change is Change.DELETED:
            before = self._items.pop(key, None)
            if before is not None:
                self._tell(key, before, None)
        else:
            self._put(key, self._items.get(key), item)

    def _put(self, key: Key, before: N | None, item: N) -> None:
        if before is None and len(self._items) >= self._limit:
            if not self.overflowed:
                log.warning("more objects than may be kept", limit=self._limit)
            self.overflowed = True
            return
        self._items[key] = item
        self._tell(key, before, item)

    def _tell(self, key: Key, before: N | None, after: N | None) -> None:
        if self._observer is not None:
            self._observer(key, before, after)


def _version(item: Named) -> str:
    return item.metadata.resource_version
