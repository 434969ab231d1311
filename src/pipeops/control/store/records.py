"""Records as the store hands them out: immutable, without any secret.

Times are wall-clock seconds since 1970. Token hashes never leave the store.
"""

import enum

import msgspec


class Role(enum.StrEnum):
    """What a user token may do at the operators' API."""

    ADMIN = "admin"
    USER = "user"


class Cluster(msgspec.Struct, frozen=True):
    """One cluster that may be reached through an agent.

    Attributes:
        id: Random UUID; what agents and wire messages call the cluster.
        name: DNS label; what people call it.
        agent_id: Identity of the agent that registered first, None before.
        facts: What the agent last told about the cluster (Kubernetes version, …).
    """

    id: str
    name: str
    agent_id: str | None
    created_at: float
    last_seen_at: float | None
    facts: dict[str, object] | None


class ClusterToken(msgspec.Struct, frozen=True):
    """A token with which the agents of one cluster dial in."""

    id: str
    cluster_id: str
    prefix: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


class UserToken(msgspec.Struct, frozen=True):
    """A token with which a person or a program uses the control plane.

    Attributes:
        label: What the operator called it.
        user: Name that is impersonated in clusters.
        groups: Groups that are impersonated in clusters.
        clusters: Names of the clusters it may reach; None means all.
    """

    id: str
    label: str
    prefix: str
    user: str
    groups: tuple[str, ...]
    role: Role
    clusters: tuple[str, ...] | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


class TokenState(msgspec.Struct, frozen=True):
    """The part of a token that decides whether it still counts."""

    revoked_at: float | None
    expires_at: float | None
