"""Standing: what this process remembers, who it is, whether it reports for the cluster, and what it then knows."""

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeops.agent.cluster.leadership import Alone, Elected, Leadership
from pipeops.agent.cluster.observer import ClusterObserver
from pipeops.agent.identity import agent_id, instance_id, next_epoch
from pipeops.agent.introduction import Identity
from pipeops.agent.state.cluster_store import ClusterStore, StateObjects, state_objects
from pipeops.agent.state.fields import AgentState, StateStore
from pipeops.agent.state.file_store import FileStore, file_store
from pipeops.agent.state.keeper import StateKeeper
from pipeops.kube.client import KubeClient
from pipeops.kube.config import KubeAccess
from pipeops.kube.lease import LeaseElector, LeaseTimes
from pipeops.runtime.backoff import Backoff
from pipeops.runtime.clock import Clock
from pipeops.runtime.supervisor import Service

#: A standby takes over within a quarter of a minute when the holder dies, at once when it ends properly.
LEASE_TIMES: Final = LeaseTimes(duration=15.0, deadline=12.0, retry=4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Made once at the start.

    Attributes:
        stored: the state as it was found.
        keeper: service; writes what changes of it.
        leadership: who reports; a service too if it is elected.
        observer: service; has the cluster's figures while this replica reports.
    """

    identity: Identity
    stored: AgentState
    keeper: StateKeeper
    leadership: Leadership
    observer: ClusterObserver

    @property
    def services(self) -> list[Service]:
        """To be started once the tunnel is up: reading a large cluster must not delay it."""
        elected: list[Service] = [self.leadership] if isinstance(self.leadership, Elected) else []
        return [*elected, self.observer]


async def take_up(
    client: KubeClient,
    access: KubeAccess,
    clock: Clock,
    *,
    configured_id: str,
    state_file: str,
    environment: Mapping[str, str] = os.environ,
) -> Standing:
    """Load the state and settle who this process is. Never raises for a state that cannot be had."""
    rng = random.Random(os.urandom(16))  # noqa: S311 - spreads load, guards nothing
    in_pod = access.origin == "in-cluster"
    objects = state_objects(access.namespace if in_pod else "", environment)
    shared = not state_file and (in_pod or "PIPEOPS_STATE_NAMESPACE" in environment)

    def backoff() -> Iterator[float]:
        return Backoff(rng, first=0.5, cap=30.0)

    stores = _stores(client, clock, objects, state_file=state_file, shared=shared)
    keeper = StateKeeper(stores, backoff=backoff)
    stored = await keeper.load(patient=not configured_id)
    chosen = agent_id(configured_id, stored.agent_id, environment=environment)
    identity = Identity(
        agent_id=chosen,
        instance=instance_id(environment),
        epoch=next_epoch(clock, stored.epoch),
    )
    keeper.begin(chosen, identity.epoch, settled=chosen == configured_id)
    leadership: Leadership = Alone()
    if keeper.is_shared:
        leadership = _elected(client, objects, identity.instance, clock, rng)
    return Standing(
        identity=identity,
        stored=stored,
        keeper=keeper,
        leadership=leadership,
        observer=ClusterObserver(client, leadership, rng=rng),
    )


def _stores(
    client: KubeClient, clock: Clock, objects: StateObjects, *, state_file: str, shared: bool
) -> list[StateStore]:
    """Return the places of the state in the order in which they are tried."""
    if state_file:
        return [FileStore(Path(state_file), clock)]
    stores: list[StateStore] = [ClusterStore(client, objects)] if shared else []
    local = file_store(clock)
    return [*stores, local] if local is not None else stores


def _elected(
    client: KubeClient, objects: StateObjects, instance: str, clock: Clock, rng: random.Random
) -> Elected:
    return Elected(
        lambda changed: LeaseElector(
            client,
            objects.namespace,
            objects.lease,
            instance,
            clock,
            rng=rng,
            times=LEASE_TIMES,
            changed=changed,
        )
    )
