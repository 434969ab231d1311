"""Bodies of requests and answers."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeops.control.api.names import check_cluster_name, check_identity
from pipeops.control.api.services import ClusterConnection
from pipeops.control.store.records import Cluster, ClusterToken, Role, UserToken

ClusterName = Annotated[str, AfterValidator(check_cluster_name)]
Identity = Annotated[str, AfterValidator(check_identity)]

ExpiresIn = Annotated[float | None, Field(gt=0, le=10 * 365 * 86_400, allow_inf_nan=False)]
"""Seconds until the token expires; null means never."""


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCluster(_Request):
    """Asks for a cluster and its first token."""

    name: ClusterName
    expires_in: ExpiresIn = None


class NewClusterToken(_Request):
    """Asks for another token of a cluster."""

    expires_in: ExpiresIn = None
    revoke_others: bool = False
    """End the sessions of agents that use an older token."""


class NewUserToken(_Request):
    """Asks for a user token."""

    label: Annotated[str, Field(min_length=1, max_length=200)]
    user: Identity
    groups: Annotated[list[Identity], Field(max_length=256)] = []
    role: Role = Role.USER
    clusters: Annotated[list[ClusterName], Field(max_length=1000)] | None = None
    expires_in: ExpiresIn = None


class ConnectionBody(BaseModel):
    """How a cluster is connected."""

    connected: bool
    instances: int
    lanes: int
    since: datetime | None
    agent_version: str | None
    dialect: str | None
    rtt_ms: float | None

    @classmethod
    def of(cls, connection: ClusterConnection) -> "ConnectionBody":
        """Present a connection."""
        rtt = connection.rtt
        return cls(
            connected=connection.connected,
            instances=connection.instances,
            lanes=connection.lanes,
            since=at(connection.since),
            agent_version=connection.agent_version,
            dialect=connection.dialect,
            rtt_ms=None if rtt is None else round(rtt * 1000, 3),
        )


class ClusterBody(BaseModel):
    """One cluster."""

    id: str
    name: str
    created_at: datetime
    last_seen_at: datetime | None
    agent_id: str | None
    facts: dict[str, Any]
    connection: ConnectionBody

    @classmethod
    def of(cls, cluster: Cluster, connection: ClusterConnection) -> "ClusterBody":
        """Present a cluster."""
        return cls(**_cluster_fields(cluster, connection))


class ClusterTokenBody(BaseModel):
    """A cluster token without its secret."""

    id: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, token: ClusterToken) -> "ClusterTokenBody":
        """Present a token."""
        return cls(
            id=token.id,
            prefix=token.prefix,
            created_at=moment(token.created_at),
            expires_at=at(token.expires_at),
            revoked_at=at(token.revoked_at),
            last_used_at=at(token.last_used_at),
        )


class ClusterDetailBody(ClusterBody):
    """One cluster with its tokens, which administrators see."""

    tokens: list[ClusterTokenBody] | None

    @classmethod
    def with_tokens(
        cls, cluster: Cluster, connection: ClusterConnection, tokens: list[ClusterTokenBody] | None
    ) -> "ClusterDetailBody":
        """Present a cluster; `tokens` is None for callers that may not see them."""
        return cls(**_cluster_fields(cluster, connection), tokens=tokens)


class ClusterListBody(BaseModel):
    """Clusters by name."""

    items: list[ClusterBody]


class IssuedClusterToken(BaseModel):
    """A new cluster token; `token` is shown this once."""

    cluster: ClusterBody
    token: str
    token_id: str
    expires_at: datetime | None


class UserTokenBody(BaseModel):
    """A user token without its secret."""

    id: str
    label: str
    prefix: str
    user: str
    groups: list[str]
    role: Role
    clusters: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, token: UserToken) -> "UserTokenBody":
        """Present a token."""
        return cls(
            id=token.id,
            label=token.label,
            prefix=token.prefix,
            user=token.user,
            groups=list(token.groups),
            role=token.role,
            clusters=None if token.clusters is None else list(token.clusters),
            created_at=moment(token.created_at),
            expires_at=at(token.expires_at),
            revoked_at=at(token.revoked_at),
            last_used_at=at(token.last_used_at),
        )


class UserTokenListBody(BaseModel):
    """User tokens, oldest first."""

    items: list[UserTokenBody]


class IssuedUserToken(BaseModel):
    """A new user token; `token` is shown this once."""

    metadata: UserTokenBody
    token: str
    warnings: list[str]


class WhoAmI(BaseModel):
    """Who the caller is."""

    user: str
    groups: list[str]
    role: Role
    clusters: list[str] | None
    token_id: str
    expires_at: datetime | None


class VersionBody(BaseModel):
    """Version of the control plane."""

    version: str


class HealthBody(BaseModel):
    """Whether the process lives, or can serve."""

    status: str
    problems: list[str]


def moment(seconds: float) -> datetime:
    """Return a wall-clock time as an aware datetime."""
    return datetime.fromtimestamp(seconds, UTC)


def at(seconds: float | None) -> datetime | None:
    """Return a wall-clock time that may be absent."""
    return None if seconds is None else moment(seconds)


def _cluster_fields(cluster: Cluster, connection: ClusterConnection) -> dict[str, Any]:
    return {
        "id": cluster.id,
        "name": cluster.name,
        "created_at": moment(cluster.created_at),
        "last_seen_at": at(cluster.last_seen_at),
        "agent_id": cluster.agent_id,
        "facts": cluster.facts or {},
        "connection": ConnectionBody.of(connection),
    }
