"""Register and its answer: who the agent is, and what the control plane knows it as.

Keys of `Register` are declared in bytewise order because the Go agent builds a map of them; its
nested `ServerSpecs` and `TunnelPorts` are Go structs and keep their own order. `x_…` keys are ours:
other peers ignore unknown keys.
"""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from pipeops.protocol.messages.payload import Payload


class Features(Payload, frozen=True, kw_only=True):
    """What the agent can do. Absent means no. All values are booleans: Go peers may insist."""

    supports_binary_protocol: bool = False
    supports_compression: bool = False
    supports_gateway: bool = False
    supports_response_streaming: bool = False
    supports_streaming: bool = False
    supports_websocket_proxy: bool = False
    #: Ours: the agent understands stream heads of version 2 (`protocol.exchange.native`).
    x_native: bool | UnsetType = UNSET


class ServerSpecs(Payload, frozen=True, kw_only=True):
    """The machine the agent runs on; unknown members are left out."""

    cpu_cores: int | UnsetType = UNSET
    memory_gb: int | UnsetType = UNSET
    disk_gb: int | UnsetType = UNSET
    os: str | UnsetType = UNSET


class TunnelPorts(Payload, frozen=True, kw_only=True):
    """Ports that the control plane may ask forwards for."""

    kubernetes_api: int | UnsetType = 6443
    kubelet: int | UnsetType = 10250
    agent_http: int | UnsetType = 8080


class ForwardOffer(Payload, frozen=True, kw_only=True):
    """Ours: a port inside the cluster for which the control plane may listen."""

    name: str
    local_addr: str = ""
    protocol: str = "tcp"
    #: Wanted port at the control plane; 0: any, always the same.
    remote_port: int = 0


class ForwardGrant(Payload, frozen=True, kw_only=True):
    """Ours: what became of an offer. `status` is `listening` or says why not."""

    name: str
    protocol: str = "tcp"
    remote_port: int = 0
    status: str = ""


class Register(Payload, frozen=True, kw_only=True):
    """Agent → control plane, first message on lane 0; answered by `RegisterSuccess`."""

    TYPE: ClassVar[str] = "register"

    agent_id: str
    agent_version: str = ""
    cloud_provider: str = "agent"
    cluster_id: str | UnsetType = UNSET
    features: Features = Features()
    hostname: str = ""
    k8s_service_token: str | UnsetType = UNSET
    k8s_version: str = ""
    labels: dict[str, str] | None = None
    metadata: dict[str, str] | UnsetType | None = UNSET
    name: str = ""
    region: str = "unknown-country"
    server_ip: str = "0.0.0.0"  # noqa: S104 -- the wire's word for "unknown", not a bind address
    server_specs: ServerSpecs = ServerSpecs()
    tunnel_port_config: TunnelPorts = TunnelPorts()
    #: Ours: start order of one instance; a newer epoch replaces the older session at once.
    x_epoch: int | UnsetType = UNSET
    #: Ours: seconds without a byte after which a forwarded connection is ended.
    x_forward_inactivity_seconds: int | float | UnsetType = UNSET
    #: Ours: ports to listen for.
    x_forwards: list[ForwardOffer] | UnsetType = UNSET
    #: Ours: which replica of the agent this is.
    x_instance: str | UnsetType = UNSET
    #: Ours: lane number of this connection; only lane 0 registers.
    x_lane: int | UnsetType = UNSET


class RegisterSuccess(Payload, frozen=True, kw_only=True):
    """Control plane → agent; the envelope repeats the request's id."""

    TYPE: ClassVar[str] = "register_success"

    cluster_id: str
    #: Must equal `cluster_id`: a resuming Go agent sends the one where the other belongs.
    cluster_uuid: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    workspace_id: int | float | UnsetType = UNSET
    gateway_ws_url: str | UnsetType = UNSET
    tunnel_url: str | UnsetType = UNSET
    api_server: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    #: Ours: what became of `Register.x_forwards`.
    x_forwards: list[ForwardGrant] | UnsetType = UNSET
    #: Ours: with it the agent dials further lanes (`X-PipeOps-Session`).
    x_session_secret: str | UnsetType = UNSET
    #: Ours: how often to send heartbeats, in seconds.
    x_heartbeat_interval_seconds: int | float | UnsetType = UNSET
    #: Ours: how many lanes the agent should hold, this one included.
    x_lanes: int | UnsetType = UNSET
