"""decide: what a change of a cluster's wishes means for the store, for hosts and for what is served. Pure, so that a thread can do it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeops.control.routes.ownership import HostOwnership, Refusal
from pipeops.control.routes.route import Route
from pipeops.control.routes.stored import row_key, stored_of
from pipeops.control.routes.wanted import Wanted, left_hosts
from pipeops.control.store.routes import RouteChange


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows.

    Attributes:
        change: for the store, and with it who holds what.
        verdicts: by host concerned, None if the cluster may have it.
    """

    change: RouteChange
    verdicts: Mapping[str, Refusal | None]


def decide(
    wanted: Wanted,
    ownership: HostOwnership,
    *,
    remove: Collection[Route],
    put: Collection[Route],
    rejudge: Collection[str],
    most_unused: int,
) -> Decision:
    """Return what follows when a cluster gives up routes and asks for others.

    Args:
        wanted: what it asks for so far.
        ownership: who has what; only read.
        remove: routes of `wanted`, changed ones too.
        put: new and changed routes.
        rejudge: hosts about which there may be another verdict now.
        most_unused: hosts without routes that a cluster may keep.
    """
    name = wanted.ref.name
    gone = left_hosts(wanted, remove, put)
    concerned = dict.fromkeys([route.key.host for route in put])
    concerned.update(dict.fromkeys(rejudge))
    verdicts = {host: ownership.judge(name, host) for host in concerned if host not in gone}
    mine = {host for host in (*verdicts, *gone) if ownership.holder(host) == name}
    given_up = gone & mine
    kept = _kept(wanted, ownership, given_up, most_unused)
    refused = {host for host in mine if verdicts.get(host) is not None}
    change = RouteChange(
        cluster_id=wanted.ref.id,
        remove=[row_key(route.key) for route in remove],
        put=[stored_of(wanted.ref.id, route) for route in put],
        hold=[host for host, verdict in verdicts.items() if verdict is None and host not in mine],
        touch=kept,
        release=refused | (given_up - kept),
    )
    return Decision(change, verdicts)


def _kept(
    wanted: Wanted, ownership: HostOwnership, given_up: set[str], most_unused: int
) -> set[str]:
    """Of hosts without routes those that stay the cluster's for a while: a redeployment is no reason to lose one.

    A host that a domain covers needs no keeping: nobody but the domain's clusters can take it.
    """
    candidates = {host for host in given_up if not ownership.covering(host)}
    unused = ownership.held_by(wanted.ref.name) - len(wanted.hosts)
    return set(sorted(candidates)[: max(most_unused - max(unused, 0), 0)])
