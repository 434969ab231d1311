"""TokenCache: verdicts on tokens, remembered for a short time and within bounds."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from pipeops.control.auth.grants import Revocable

G = TypeVar("G", bound=Revocable)


@dataclass(slots=True)
class _Accepted(Generic[G]):
    grant: G
    confirmed_at: float
    check_at: float


class TokenCache(Generic[G]):
    """Accepted and refused tokens by digest, least recently used first out.

    Pure bookkeeping: times are arguments, in monotonic seconds. A grant that fell out stays known by its token id for
    as long as a connection holds it, so that revocation still reaches it.

    Args:
        capacity: Most entries of each kind.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._accepted: OrderedDict[bytes, _Accepted[G]] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._live: WeakValueDictionary[str, G] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._accepted) + len(self._refused)

    def accepted(self, digest: bytes, *, now: float) -> G | None:
        """Return the valid grant of a token that need not be looked up yet."""
        entry = self._accepted.get(digest)
        if entry is None or now >= entry.check_at:
            return None
        grant = entry.grant
        if not grant.valid:
            del self._accepted[digest]
            return None
        self._accepted.move_to_end(digest)
        return grant

    def postpone(self, digest: bytes, *, confirmed_since: float, until: float) -> G | None:
        """Trust a token which cannot be looked up until then, if it was confirmed recently enough."""
        entry = self._accepted.get(digest)
        if entry is None or entry.confirmed_at < confirmed_since or not entry.grant.valid:
            return None
        entry.check_at = entry.grant.trusted_until = until
        return entry.grant

    def refused(self, digest: bytes, *, not_before: float) -> str | None:
        """Return why the token was refused at `not_before` or later."""
        entry = self._refused.get(digest)
        if entry is None or entry[1] < not_before:
            return None
        return entry[0]

    def accept(self, digest: bytes, grant: G, *, now: float, check_at: float) -> G | None:
        """Remember a confirmed token; return the grant to use, None if it was revoked meanwhile.

        Where connections already hold a grant of this token, that one is returned.
        """
        if grant.token_id in self._revoked:
            return None
        live = self._live.get(grant.token_id)
        if live is not None and live.valid:
            grant = live
        else:
            self._live[grant.token_id] = grant
        grant.trusted_until = check_at
        self._refused.pop(digest, None)
        _put(self._accepted, digest, _Accepted(grant, now, check_at), self._capacity)
        return grant

    def refuse(self, digest: bytes, reason: str, *, now: float) -> None:
        """Remember a refused token."""
        self._accepted.pop(digest, None)
        _put(self._refused, digest, (reason, now), self._capacity)

    def revoke(self, token_id: str) -> G | None:
        """Make sure that no answer under way revives the token; return its grant if there is one."""
        _put(self._revoked, token_id, None, self._capacity)
        grant = self._live.get(token_id)
        if grant is not None:
            # Nobody asks for it again, so nothing else would ever drop it.
            for digest in [key for key, entry in self._accepted.items() if entry.grant is grant]:
                del self._accepted[digest]
        return grant

    def live(self) -> Iterator[G]:
        """Every grant that is cached or held by a connection, and still valid."""
        return (grant for grant in list(self._live.values()) if grant.valid)


K = TypeVar("K")
V = TypeVar("V")


def _put(entries: OrderedDict[K, V], key: K, value: V, capacity: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    while len(entries) > capacity:
        entries.popitem(last=False)
