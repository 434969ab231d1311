"""What to tell the registry next: the difference between what is wanted and what it confirmed. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from pipeops.agent.ingress.routes import RouteKey, RouteSpec

#: More changes than this are one synchronisation, not so many calls.
MOST_SINGLE: Final = 20
#: Hosts withdrawn before it is looked again at what has changed meanwhile.
MOST_WITHDRAWN: Final = 10


class Refusal(msgspec.Struct, frozen=True):
    """A route that the registry will not have, until it changes."""

    route: RouteSpec
    reason: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The next calls.

    Attributes:
        sync: one call with all routes, before anything else.
        registers: single routes; none where `sync` is set.
        withdrawals: hosts.
        more: there is more to do after these.
    """

    sync: bool = False
    registers: tuple[RouteSpec, ...] = ()
    withdrawals: tuple[str, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return self.sync or bool(self.registers) or bool(self.withdrawals)


def next_calls(
    desired: Mapping[RouteKey, RouteSpec],
    acked: Mapping[RouteKey, RouteSpec],
    refused: Mapping[RouteKey, Refusal],
    known: AbstractSet[RouteKey],
    hosts: AbstractSet[str],
    *,
    sync_due: bool,
    single: bool,
) -> Plan:
    """Plan the next calls.

    Args:
        desired: what is wanted.
        acked: what the registry has confirmed.
        refused: what it has refused.
        known: keys that it was told, as far as this process knows, refused ones too.
        hosts: all that it has taken, also from an earlier run: no other host is ever withdrawn, it may be another's.
        sync_due: everything shall be told again.
        single: this registry knows no synchronisation.
    """
    wanted = {key.host for key in desired}
    gone = sorted(hosts - wanted)
    changed = [
        route
        for key, route in desired.items()
        if acked.get(key) != route
        and ((refusal := refused.get(key)) is None or refusal.route != route)
    ]
    # The registry withdraws hosts, not paths (reference gateway §2.4); and whole hosts only of ours.
    over = {key.host for key in known if key not in desired}
    narrowed = over & wanted & hosts
    if single:
        # Only withdrawing the host takes a path away; its other paths follow.
        gone = [*sorted(narrowed), *gone]
        return Plan(
            registers=tuple(route for route in changed if route.key.host not in narrowed)[
                :MOST_SINGLE
            ],
            withdrawals=tuple(gone[:MOST_WITHDRAWN]),
            more=len(changed) > MOST_SINGLE or len(gone) > MOST_WITHDRAWN or bool(narrowed),
        )
    # What was refused waits for a proof in some registries, and a call without an answer may have worked.
    sync = (
        sync_due
        or bool(over - hosts)
        or bool(narrowed)
        or max(len(changed), len(gone)) > MOST_SINGLE
    )
    return Plan(
        sync=sync,
        registers=() if sync else tuple(changed),
        withdrawals=tuple(gone[:MOST_WITHDRAWN]),
        more=len(gone) > MOST_WITHDRAWN,
    )
