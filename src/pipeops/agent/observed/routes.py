"""RoutesObserved: the routes that are published, how requests reach them, and how the calls about them went."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

#: What becomes of a route: confirmed by the registry, refused by it, or not yet told.
STATES: Final = ("registered", "refused", "pending")


class RoutesObserved:
    """Told by the ingress sync; all of it is from memory.

    Attributes:
        enabled: the setting.
        active: this replica publishes the cluster's routes now.
        counts: routes by state.
        rows: the first routes, one row each, for people.
        private: the cluster cannot be reached but through the tunnel; None while that is not known.
        reason: why, in a sentence.
        calls: calls that succeeded; synchronisations and single ones alike, as the Go agent counts.
        retries: of them, further attempts.
        failures: calls that were given up.
        syncs: synchronisations among `calls`.
    """

    def __init__(self) -> None:
        self.enabled = False
        self.calls = 0
        self.retries = 0
        self.failures = 0
        self.syncs = 0
        self.idle()

    def idle(self) -> None:
        """This replica publishes nothing, or nothing yet."""
        self.active = False
        self.counts: Callable[[], Mapping[str, int]] = lambda: dict.fromkeys(STATES, 0)
        self.rows: Callable[[], Sequence[Mapping[str, object]]] = tuple
        self.private: bool | None = None
        self.reason = ""

    @property
    def registered(self) -> int:
        """Routes that the registry has confirmed."""
        return self.counts()["registered"]
