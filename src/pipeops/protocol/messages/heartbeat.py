"""Heartbeat: what the agent reports while it is connected. Keys in bytewise order (a Go map)."""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import Payload


class HeartbeatMetadata(Payload, frozen=True, kw_only=True):
    """Figures of the cluster, taken from caches: a heartbeat never lists objects.

    An unknown figure is left out rather than sent as 0; Go agents always send all.
    """

    agent_version: str | UnsetType = UNSET
    cpu_usage: str | UnsetType = UNSET
    gateway_routes: int | UnsetType = UNSET
    is_private: bool | UnsetType = UNSET
    k8s_nodes: int | UnsetType = UNSET
    k8s_pods: int | UnsetType = UNSET
    k8s_version: str | UnsetType = UNSET
    memory_usage: str | UnsetType = UNSET


class WorkerJoin(Payload, frozen=True, kw_only=True):
    """How another machine joins this k3s cluster."""

    provider: str | UnsetType = UNSET
    join_command: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    server_ip: str | UnsetType = UNSET
    env: dict[str, str] | UnsetType | None = UNSET
    server_url: str | UnsetType = UNSET
    commands: list[str] | UnsetType | None = UNSET
    generated_at: str | UnsetType = UNSET


class Heartbeat(Payload, frozen=True, kw_only=True):
    """Agent → control plane, periodically; no answer is needed."""

    TYPE: ClassVar[str] = "heartbeat"

    agent_id: str
    cluster_id: str
    grafana_password: str | UnsetType = UNSET
    grafana_ssl: bool | UnsetType = UNSET
    grafana_url: str | UnsetType = UNSET
    grafana_username: str | UnsetType = UNSET
    loki_password: str | UnsetType = UNSET
    loki_ssl: bool | UnsetType = UNSET
    loki_url: str | UnsetType = UNSET
    loki_username: str | UnsetType = UNSET
    metadata: HeartbeatMetadata | None = None
    opencost_base_url: str | UnsetType = UNSET
    opencost_password: str | UnsetType = UNSET
    opencost_username: str | UnsetType = UNSET
    prometheus_password: str | UnsetType = UNSET
    prometheus_ssl: bool | UnsetType = UNSET
    prometheus_url: str | UnsetType = UNSET
    prometheus_username: str | UnsetType = UNSET
    #: `healthy`, `reconnecting` or `disconnected`.
    status: str = "healthy"
    #: `connected` or `disconnected`.
    tunnel_status: str = "connected"
    worker_join: WorkerJoin | UnsetType = UNSET


class HeartbeatAck(Payload, frozen=True, kw_only=True):
    """Control plane → agent; only logged."""

    TYPE: ClassVar[str] = "heartbeat_ack"

    received_at: str | UnsetType = UNSET
