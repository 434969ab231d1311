"""Tally: a sink that remembers of each object only which kind of thing it counts as."""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from pipeops.kube.watching import Change
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

#: Twice the size the agent is measured with; beyond it objects are not counted, and it says so.
LIMIT: Final = 400_000
_KEY_MASK: Final = (1 << 60) - 1


class HasUid(Protocol):
    """`metadata` of a counted object."""

    uid: str
    resource_version: str


class Countable(Protocol):
    """An object with a uid."""

    @property
    def metadata(self) -> HasUid:
        """With the uid."""


C = TypeVar("C", bound=Countable)
S = TypeVar("S", bound=Hashable)


class Tally(Generic[C, S]):
    """Counts objects by shape.

    A large cluster has many objects and few shapes (phase and requests of a pod, say), so that an object costs
    one dictionary entry: 60 bits of its random uid, pointing to a shape that is shared.

    Attributes:
        complete: a first list has been counted.
        changes: grows whenever the figures may have changed.
        overflowed: more objects than `limit`; the figures are too low.
    """

    def __init__(self, shape: Callable[[C], S], *, limit: int = LIMIT) -> None:
        """`shape` says what an object counts as."""
        self._shape = shape
        self._limit = limit
        self._entries: dict[int, S] = {}
        self._counts: dict[S, int] = {}
        self._shapes: dict[S, S] = {}
        self._listed: dict[int, S] | None = None
        self.complete = False
        self.changes = 0
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def counts(self) -> Mapping[S, int]:
        """How many objects have which shape."""
        return self._counts

    def __iter__(self) -> Iterator[tuple[S, int]]:
        return iter(self._counts.items())

    def begin(self) -> None:
        """Sink: what was known stays valid until the new list is complete."""
        self._listed = {}

    def page(self, items: Sequence[C]) -> None:
        """Sink: note the shapes of a page; its objects are not kept."""
        listed = self._listed
        if listed is None:
            return
        for item in items:
            if len(listed) >= self._limit:
                self._overflow()
                return
            listed[_key(item.metadata.uid)] = self._shared(self._shape(item))

    def finish(self) -> None:
        """Sink: the listed objects replace the known ones."""
        if self._listed is not None:
            self._entries, self._listed = self._listed, None
        counts: dict[S, int] = {}
        for shape in self._entries.values():
            counts[shape] = counts.get(shape, 0) + 1
        self._counts = counts
        self._shapes = {shape: shape for shape in counts}
        self.overflowed = len(self._entries) >= self._limit
        self.complete = True
        self.changes += 1

    def change(self, change: Change, item: C) -> None:
        """Sink: one object."""
        key = _key(item.metadata.uid)
        before = self._entries.get(key)
        if change is Change.DELETED:
            if before is not None:
                del self._entries[key]
                self._leave(before)
            return
        shape = self._shared(self._shape(item))
        if before is shape:
            return
        if before is not None:
            self._leave(before)
        elif len(self._entries) >= self._limit:
            self._overflow()
            return
        self._entries[key] = shape
        self._counts[shape] = self._counts.get(shape, 0) + 1
        self.changes += 1

    def _shared(self, shape: S) -> S:
        return self._shapes.setdefault(shape, shape)

    def _leave(self, shape: S) -> None:
        self.changes += 1
        left = self._counts[shape] - 1
        if left:
            self._counts[shape] = left
        else:
            del self._counts[shape]
            if self._listed is None:
                self._shapes.pop(shape, None)

    def _overflow(self) -> None:
        if not self.overflowed:
            log.warning("more objects than are counted", limit=self._limit)
        self.overflowed = True


def _key(uid: str) -> int:
    """Return 60 bits that tell objects apart: of a UUID its random end (two of 150,000 meet once in 10^8 clusters)."""
    try:
        return int(uid.replace("-", ""), 16) & _KEY_MASK
    except ValueError:
        return int.from_bytes(hashlib.blake2b(uid.encode(), digest_size=8).digest()) & _KEY_MASK
