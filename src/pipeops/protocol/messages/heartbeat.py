"""Heartbeat: what the agent reports while it is connected. Keys in bytewise order (a Go map)."""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import Payload


class Amounts(Payload, frozen=True, kw_only=True):
    """Resources of a cluster, added up over its nodes or pods."""

    #: Thousandths of a core.
    cpu_milli: int = 0
    memory_bytes: int = 0
    pods: int | UnsetType = UNSET


class ClusterFigures(Payload, frozen=True, kw_only=True):
    """Ours: what a cluster consists of. What may not be read, or is not known yet, is left out.

    Attributes:
        requested: what the pods on nodes ask for while they are not finished.
        kubelets: version to nodes; so `runtimes` and `platforms`. At most 16 of each.
        phases: pod phase to pods.
        distribution: like `k3s`; of the majority of nodes, as is `provider`.
        stale: members of this message that may be out of date, since the API server cannot be asked.
    """

    nodes: int | UnsetType = UNSET
    nodes_ready: int | UnsetType = UNSET
    nodes_unschedulable: int | UnsetType = UNSET
    capacity: Amounts | UnsetType = UNSET
    allocatable: Amounts | UnsetType = UNSET
    distribution: str | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    kubelets: dict[str, int] | UnsetType = UNSET
    runtimes: dict[str, int] | UnsetType = UNSET
    platforms: dict[str, int] | UnsetType = UNSET
    pods: int | UnsetType = UNSET
    phases: dict[str, int] | UnsetType = UNSET
    requested: Amounts | UnsetType = UNSET
    used: Amounts | UnsetType = UNSET
    stale: list[str] | UnsetType = UNSET


class HeartbeatMetadata(Payload, frozen=True, kw_only=True):
    """Figures of the cluster, taken from caches: a heartbeat never lists objects.

    An unknown figure is left out rather than sent as 0; Go agents always send all.

    Attributes:
        metrics_available: whether `cpu_usage` and `memory_usage` are measured.
        metrics_stale: some figures may be out of date.
        x_cluster: more figures, between peers of ours.
    """

    agent_version: str | UnsetType = UNSET
    cpu_usage: str | UnsetType = UNSET
    gateway_routes: int | UnsetType = UNSET
    is_private: bool | UnsetType = UNSET
    k8s_nodes: int | UnsetType = UNSET
    k8s_pods: int | UnsetType = UNSET
    k8s_version: str | UnsetType = UNSET
    memory_usage: str | UnsetType = UNSET
    metrics_available: bool | UnsetType = UNSET
    metrics_stale: bool | UnsetType = UNSET
    x_cluster: ClusterFigures | UnsetType = UNSET


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
