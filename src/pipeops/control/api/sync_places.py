"""SyncPlaces: how many large bodies are read at once, and for whom."""

from collections.abc import Iterator
from contextlib import contextmanager

MAX_PLACES = 16  # times MAX_SYNC_BODY is what they may take together


class NoPlace(Exception):
    """Too much is being read already."""


class SyncPlaces:
    """One for each cluster, so that none takes them all."""

    def __init__(self, most: int = MAX_PLACES) -> None:
        self._most = most
        self._taken: set[str] = set()

    @contextmanager
    def place(self, cluster_id: str) -> Iterator[None]:
        """Take a place for the length of the block.

        Raises:
            NoPlace: The cluster has one already, or all are taken.
        """
        if cluster_id in self._taken or len(self._taken) >= self._most:
            raise NoPlace
        self._taken.add(cluster_id)
        try:
            yield
        finally:
            self._taken.discard(cluster_id)
