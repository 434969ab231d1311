"""AgentSettings: every setting of the agent, one line each, and how they are loaded."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TextIO
from urllib.parse import urlsplit

import msgspec

from pipeops.agent.forward_settings import ConfiguredForward, forward_list
from pipeops.agent.gateway_settings import (
    IstioRoute,
    IstioServer,
    Listener,
    Route,
    gateway_problems,
    istio_problems,
    items,
)
from pipeops.agent.ingress_settings import ServiceName, endpoint, service_name
from pipeops.agent.service_settings import service_list
from pipeops.kube.credentials import read_token
from pipeops.kube.errors import CredentialError
from pipeops.runtime.documents import DocumentError, read_yaml
from pipeops.runtime.secrets import Secret
from pipeops.runtime.setting_values import (
    boolean,
    choice,
    duration,
    integer,
    mapping,
    secret,
    text,
    url,
    words,
)
from pipeops.runtime.settings import File, Key, Loaded, Origin, Problem, Rank, SettingsError, load

DEFAULT_API_URL: Final = "https://api.pipeops.sh"
DEFAULT_CLUSTER_NAME: Final = "default-cluster"

_EXTENSIONS: Final = (
    "json", "toml", "yaml", "yml", "properties", "props", "prop", "hcl", "tfvars", "dotenv", "env", "ini",
)  # fmt: skip

#: Accepted without effect, so that a Go agent's file works: prefix → why.
INERT: Final = {
    "upgrade.": "this agent does not upgrade clusters; the section has no effect",
    "encryption.": "this agent does not manage encryption at rest; the section has no effect",
    "agent.compatibility.": "this agent does not rewrite other people's objects; no effect",
    "state.": "the chart's own values; no effect",
    "registration.": "the chart's own values; no effect",
}

_NOT_YET: Final = "not part of this version"

#: Variables that the Go agent's code, chart or documentation names and that change nothing here.
INERT_VARIABLES: Final = {
    "AGENT_ENABLE_L4_TUNNEL": "streams need no switch",
    "AGENT_MAX_WS_FRAME_BYTES": "frames are bounded by the protocol",
    "AGENT_WS_CHANNEL_CAPACITY": "WebSockets are not relayed message by message",
    "AGENT_WS_PING_INTERVAL_SECONDS": "WebSockets are not relayed message by message",
    "AGENT_WS_PONG_TIMEOUT_SECONDS": "WebSockets are not relayed message by message",
    "METADATA_TIMEOUT_MS": "no metadata service is asked",
    "PIPEOPS_AUTO_INSTALL_COMPONENTS": _NOT_YET,
    "PIPEOPS_DAEMON_ENABLED": "the agent serves one cluster",
    "PIPEOPS_DAEMON_ROUTES": "the agent serves one cluster",
    "PIPEOPS_ENABLE_SSE": "always on",
    "PIPEOPS_ENABLE_STATE_PERSISTENCE": "always on",
    "PIPEOPS_ENABLE_WEBSOCKET": "always on",
    "PIPEOPS_ENDPOINT": "use PIPEOPS_API_URL",
    "PIPEOPS_MONITORING_ENABLED": _NOT_YET,
    "PIPEOPS_REGISTRATION_DEDUPLICATE": "one process registers once",
    "PIPEOPS_REGISTRATION_MAX_ATTEMPTS": "the first registration is tried for a minute",
    "PIPEOPS_REGISTRATION_RETRY_INTERVAL": "the first registration is tried for a minute",
    "PIPEOPS_WS_PROTOCOL": "negotiated",
    "SKIP_GEOIP": "nobody is asked where the cluster is",
    "SKIP_METADATA": "no metadata service is asked",
}

_LISTENERS: Final = items(Listener, '[{"name": "tcp-5000", "port": 5000, "protocol": "TCP"}]')
_ROUTES: Final = items(Route, '[{"name": "web", "sectionName": "tcp-5000", "backendRefs": [{"name": "web", "namespace": "default", "port": 5000}]}]')  # fmt: skip
_SERVERS: Final = items(IstioServer, '[{"port": {"number": 5000, "name": "tcp-web", "protocol": "TCP"}}]')  # fmt: skip
_ISTIO_ROUTES: Final = items(IstioRoute, '[{"name": "web", "port": 5000, "destination": {"host": "web.default", "port": 5000}}]')  # fmt: skip

_MODE: Final = choice("", "managed", "single-vm")
_ANY_TIME = duration(0.001)
_SECONDS = duration(1, plain=True)  # numbers by tradition


# fmt: off
class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one agent process; data only. Durations are seconds."""

    # The control plane
    api_url: Annotated[str, Key("pipeops.api_url", url("https", "http", "wss", "ws"), "the control plane", "--pipeops-url", ("PIPEOPS_API_URL",), security=True, placeholder="URL")] = DEFAULT_API_URL
    token: Annotated[Secret[str], Key("pipeops.token", secret, "this cluster's token; visible to other users as a flag, prefer --token-file", "--token", ("PIPEOPS_TOKEN",), secret=True, security=True, placeholder="TOKEN")] = Secret("")
    token_file: Annotated[str, Key("pipeops.token_file", text, "read the token from a file; - for standard input", "--token-file", ("PIPEOPS_TOKEN_FILE",), security=True, placeholder="FILE")] = ""
    timeout: Annotated[float, Key("pipeops.timeout", _ANY_TIME, "time for one HTTP request to the control plane, beside the tunnel", placeholder="DURATION")] = 30.0
    tls_enabled: Annotated[bool, Key("pipeops.tls.enabled", boolean, "false allows an http or ws URL beyond this machine", security=True)] = True
    tls_insecure_skip_verify: Annotated[bool, Key("pipeops.tls.insecure_skip_verify", boolean, "accept any certificate of the control plane: never in production", security=True)] = False
    tls_ca_file: Annotated[str, Key("pipeops.tls.ca_file", text, "trust these certificate authorities (PEM) besides the system's", "--ca-file", ("PIPEOPS_CA_FILE",), security=True, placeholder="FILE")] = ""
    tls_cert_file: Annotated[str, Key("pipeops.tls.cert_file", text, "client certificate (PEM) shown to the control plane", security=True, placeholder="FILE")] = ""
    tls_key_file: Annotated[str, Key("pipeops.tls.key_file", text, "key of the client certificate (PEM)", security=True, placeholder="FILE")] = ""
    reconnect_enabled: Annotated[bool, Key("pipeops.reconnect.enabled", boolean, "false: exit 1 when the tunnel is lost")] = True
    reconnect_max_attempts: Annotated[int, Key("pipeops.reconnect.max_attempts", integer(0, 1_000_000), "attempts of one heartbeat", placeholder="NUMBER", inert="heartbeats are not retried one by one")] = 10
    reconnect_interval: Annotated[float, Key("pipeops.reconnect.interval", _ANY_TIME, "first pause between attempts of one heartbeat", placeholder="DURATION", inert="heartbeats are not retried one by one")] = 5.0
    reconnect_backoff: Annotated[float, Key("pipeops.reconnect.backoff", _ANY_TIME, "pause between attempts", placeholder="DURATION", inert="as in the Go agent")] = 5.0
    send_service_account_token: Annotated[str, Key("agent.send_service_account_token", choice("auto", "always", "never"), "send the ServiceAccount token at registration; auto: unless the control plane says it needs none", security=True, placeholder="WHEN")] = "auto"  # noqa: S105 -- a word, no secret

    # The agent
    cluster_name: Annotated[str, Key("agent.cluster_name", text, "name shown for this cluster", "--cluster-name", ("PIPEOPS_CLUSTER_NAME",), placeholder="NAME")] = DEFAULT_CLUSTER_NAME
    agent_id: Annotated[str, Key("agent.id", text, "identity of this agent; derived from where it runs if empty", "--agent-id", ("PIPEOPS_AGENT_ID",), placeholder="ID")] = ""
    agent_name: Annotated[str, Key("agent.name", text, "name shown in local status", placeholder="NAME")] = ""
    labels: Annotated[dict[str, str], Key("agent.labels", mapping, "labels of this cluster", placeholder="KEY=VALUE,…")] = {}
    port: Annotated[int, Key("agent.port", integer(0, 65_535), "port of the local HTTP server; 0 takes a free one", "--port", ("PIPEOPS_PORT",), placeholder="PORT")] = 8080
    debug: Annotated[bool, Key("agent.debug", boolean, "log every local HTTP request")] = False
    kubernetes_proxy: Annotated[bool, Key("agent.kubernetes_proxy", boolean, "pass /api/v1/ and /apis/ of the local port on to the Kubernetes API, with the caller's own bearer token", env=("PIPEOPS_KUBERNETES_PROXY",), security=True)] = False
    allowed_origins: Annotated[str, Key("agent.allowed_origins", text, "web origins besides the agent's own that may read its live streams, comma-separated; * for all", env=("AGENT_ALLOWED_WS_ORIGINS",), security=True, placeholder="ORIGIN,…")] = ""
    shown_version: Annotated[str, Key("agent.version", text, "version shown by /health instead of the real one", placeholder="VERSION")] = ""
    truthful_readiness_probe: Annotated[bool, Key("agent.truthful_readiness_probe", boolean, "/ready tells the tunnel's state at once, not after 30s", env=("PIPEOPS_TRUTHFUL_READINESS_PROBE",))] = False
    heartbeat_interval_connected: Annotated[float | None, Key("agent.heartbeat_interval_connected", _SECONDS, "pause between heartbeats; the control plane's wish, else 5s, if not set", env=("PIPEOPS_HEARTBEAT_INTERVAL_CONNECTED",), placeholder="DURATION")] = None
    heartbeat_interval_reconnecting: Annotated[float, Key("agent.heartbeat_interval_reconnecting", _SECONDS, "the same while reconnecting", env=("PIPEOPS_HEARTBEAT_INTERVAL_RECONNECTING",), placeholder="DURATION", inert="there is no heartbeat without a tunnel")] = 60.0
    heartbeat_interval_disconnected: Annotated[float, Key("agent.heartbeat_interval_disconnected", _SECONDS, "the same while disconnected", env=("PIPEOPS_HEARTBEAT_INTERVAL_DISCONNECTED",), placeholder="DURATION", inert="there is no heartbeat without a tunnel")] = 15.0
    grafana_sub_path: Annotated[bool, Key("agent.grafana_sub_path", boolean, "Grafana lives under a path of the control plane", env=("PIPEOPS_AGENT_GRAFANA_SUB_PATH",), inert=_NOT_YET)] = True
    enable_ingress_sync: Annotated[bool, Key("agent.enable_ingress_sync", boolean, "publish the hosts of the cluster's Ingresses, HTTPRoutes and GRPCRoutes at the control plane's public gateway", env=("PIPEOPS_ENABLE_INGRESS_SYNC", "ENABLE_INGRESS_SYNC"))] = False
    route_refresh_interval: Annotated[float, Key("agent.gateway_route_refresh_interval", duration(60, 30 * 86_400, unit="h", plain=True), "pause between full route synchronisations; a number is hours", env=("GATEWAY_ROUTE_REFRESH_INTERVAL",), placeholder="DURATION")] = 14_400.0
    route_scope: Annotated[str, Key("gateway_proxy.scope", choice("all", "managed"), "managed: only objects labelled pipeops.io/managed=true or annotated pipeops.io/managed-by=pipeops", placeholder="SCOPE")] = "all"
    route_target: Annotated[str, Key("gateway_proxy.target", choice("service", "controller"), "where requests go: the route's own Service, or the ingress controller's, which then applies its own rules", placeholder="TARGET")] = "service"
    ingress_service: Annotated[ServiceName | None, Key("gateway_proxy.ingress_service", service_name, "the ingress controller's Service, if it is not found by itself: namespace/name:port", placeholder="SERVICE")] = None
    ingress_classes: Annotated[tuple[str, ...], Key("gateway_proxy.ingress_classes", words, "only Ingresses of these classes; all if empty", placeholder="NAME,…")] = ()
    hostless_routes: Annotated[bool, Key("gateway_proxy.hostless", boolean, "publish rules without a host too, which then answer every host that nobody has", security=True)] = False
    routing_mode: Annotated[str, Key("gateway_proxy.routing_mode", choice("auto", "tunnel", "direct"), "how the public gateway reaches the cluster; auto: direct where its load balancer has a public address", placeholder="MODE")] = "auto"
    public_endpoint: Annotated[str, Key("gateway_proxy.public_endpoint", endpoint, "host:port of the load balancer, if it is not found by itself", placeholder="HOST:PORT")] = ""
    allow_system_identities: Annotated[bool, Key("agent.allow_system_identities", boolean, "let the control plane act as system: users and groups too", "--allow-system-identities", security=True)] = False
    state_file: Annotated[str, Key("agent.state_file", text, "keep the agent's state in this file, instead of in the cluster or the usual places", "--state-file", ("PIPEOPS_STATE_FILE",), placeholder="FILE")] = ""
    tunnel_enabled: Annotated[bool, Key("tunnel.enabled", boolean, "false: register and send heartbeats only")] = True
    tunnel_inactivity_timeout: Annotated[float, Key("tunnel.inactivity_timeout", duration(), "a forwarded connection without a byte for so long is ended; 0: never", placeholder="DURATION")] = 0.0
    tunnel_poll_interval: Annotated[float, Key("tunnel.poll_interval", duration(), "as in early agents", placeholder="DURATION", inert="nothing is polled")] = 0.0
    forwards: Annotated[tuple[ConfiguredForward, ...], Key("tunnel.forwards", forward_list, "addresses in the cluster for which the control plane listens", security=True, placeholder="JSON")] = ()

    # The cluster
    kubeconfig: Annotated[str, Key("kubernetes.kubeconfig", text, "kubeconfig of the cluster; else $KUBECONFIG, ~/.kube/config", "--kubeconfig", placeholder="FILE")] = ""
    kube_context: Annotated[str, Key("kubernetes.context", text, "context of the kubeconfig; else its current one", "--context", placeholder="NAME")] = ""
    in_cluster: Annotated[bool, Key("kubernetes.in_cluster", boolean, "use the pod's ServiceAccount", "--in-cluster")] = False
    namespace: Annotated[str, Key("kubernetes.namespace", text, "namespace of the agent's own objects", placeholder="NAME", inert="not part of this version")] = "pipeops-system"
    service_token: Annotated[Secret[str], Key("kubernetes.service_token", secret, "ServiceAccount token offered instead of the mounted one", env=("PIPEOPS_K8S_SERVICE_TOKEN",), secret=True, security=True, placeholder="TOKEN")] = Secret("")
    ca_cert_data: Annotated[str, Key("kubernetes.ca_cert_data", text, "cluster CA offered instead of the mounted one (base64 of PEM)", env=("PIPEOPS_K8S_CERT_DATA",), placeholder="BASE64", inert="not part of this version")] = ""

    # Networking objects
    gateway_enabled: Annotated[bool, Key("gateway.enabled", boolean, "create networking objects for TCP and UDP", "--gateway-enabled", ("GATEWAY_ENABLED",), inert=_NOT_YET)] = False
    gateway_namespace: Annotated[str, Key("gateway.namespace", text, "namespace of the networking objects", "--gateway-namespace", ("GATEWAY_NAMESPACE",), placeholder="NAME", inert=_NOT_YET)] = "pipeops-system"
    gateway_release_name: Annotated[str, Key("gateway.release_name", text, "name of the networking objects", "--gateway-release-name", ("GATEWAY_RELEASE_NAME",), placeholder="NAME", inert=_NOT_YET)] = "pipeops-gateway"
    gateway_environment: Annotated[str, Key("gateway.environment.mode", _MODE, "managed or single-vm; detected if empty", "--gateway-env-mode", ("GATEWAY_ENVIRONMENT_MODE",), placeholder="MODE", inert=_NOT_YET)] = ""
    gateway_vm_ip: Annotated[str, Key("gateway.environment.vm_ip", text, "address of the machine in single-vm mode", "--gateway-env-vm-ip", ("GATEWAY_ENVIRONMENT_VM_IP",), placeholder="ADDRESS", aliases=("gateway.environment.vmip",), inert=_NOT_YET)] = ""
    gateway_api_enabled: Annotated[bool, Key("gateway.gateway_api.enabled", boolean, "create Gateway API objects", "--gateway-gwapi-enabled", ("GATEWAY_GATEWAY_API_ENABLED",), inert=_NOT_YET)] = False
    gateway_class: Annotated[str, Key("gateway.gateway_api.gateway_class", text, "GatewayClass of the Gateway", "--gateway-gwapi-gateway-class", ("GATEWAY_GATEWAY_API_GATEWAY_CLASS",), placeholder="NAME", inert=_NOT_YET)] = "istio"
    gateway_listeners: Annotated[tuple[Listener, ...], Key("gateway.gateway_api.listeners", _LISTENERS, "listeners of the Gateway", "--gateway-gwapi-listeners-json", ("GATEWAY_GWAPI_LISTENERS_JSON",), placeholder="JSON", inert=_NOT_YET)] = ()
    gateway_tcp_routes: Annotated[tuple[Route, ...], Key("gateway.gateway_api.tcp_routes", _ROUTES, "TCPRoutes", "--gateway-gwapi-tcp-routes-json", ("GATEWAY_GWAPI_TCP_ROUTES_JSON",), placeholder="JSON", inert=_NOT_YET)] = ()
    gateway_udp_routes: Annotated[tuple[Route, ...], Key("gateway.gateway_api.udp_routes", _ROUTES, "UDPRoutes", "--gateway-gwapi-udp-routes-json", ("GATEWAY_GWAPI_UDP_ROUTES_JSON",), placeholder="JSON", inert=_NOT_YET)] = ()
    istio_enabled: Annotated[bool, Key("gateway.istio.enabled", boolean, "create Istio objects", "--gateway-istio-enabled", ("GATEWAY_ISTIO_ENABLED",), inert=_NOT_YET)] = False
    istio_service_create: Annotated[bool, Key("gateway.istio.service.create", boolean, "create a LoadBalancer Service for the Istio ingress", "--gateway-istio-service-create", ("GATEWAY_ISTIO_SERVICE_CREATE",), inert=_NOT_YET)] = False
    istio_service_namespace: Annotated[str, Key("gateway.istio.service.namespace", text, "namespace of the Istio ingress", "--gateway-istio-service-namespace", ("GATEWAY_ISTIO_SERVICE_NAMESPACE",), placeholder="NAME", inert=_NOT_YET)] = "istio-system"
    istio_selector: Annotated[dict[str, str], Key("gateway.istio.gateway.selector", mapping, "labels of the Istio ingress pods", placeholder="KEY=VALUE,…", inert=_NOT_YET)] = msgspec.field(default_factory=lambda: {"istio": "ingressgateway"})
    istio_servers: Annotated[tuple[IstioServer, ...], Key("gateway.istio.gateway.servers", _SERVERS, "servers of the Istio Gateway", "--gateway-istio-servers-json", ("GATEWAY_ISTIO_SERVERS_JSON",), placeholder="JSON", inert=_NOT_YET)] = ()
    istio_tcp_routes: Annotated[tuple[IstioRoute, ...], Key("gateway.istio.virtual_service.tcp_routes", _ISTIO_ROUTES, "TCP routes of the Istio VirtualService", "--gateway-istio-tcp-routes-json", ("GATEWAY_ISTIO_TCP_ROUTES_JSON",), placeholder="JSON", inert=_NOT_YET)] = ()
    istio_tls_routes: Annotated[tuple[IstioRoute, ...], Key("gateway.istio.virtual_service.tls_routes", _ISTIO_ROUTES, "TLS routes of the Istio VirtualService", "--gateway-istio-tls-routes-json", ("GATEWAY_ISTIO_TLS_ROUTES_JSON",), placeholder="JSON", inert=_NOT_YET)] = ()

    # Ports of the cluster found by themselves
    tunnels_enabled: Annotated[bool, Key("tunnels.enabled", boolean, "offer TCP and UDP listeners of Gateways to the control plane", inert=_NOT_YET)] = False
    force_tunnel_mode: Annotated[bool, Key("tunnels.routing.force_tunnel_mode", boolean, "the same as gateway_proxy.routing_mode tunnel")] = False
    dual_mode: Annotated[bool, Key("tunnels.routing.dual_mode_enabled", boolean, "offer both ways", inert=_NOT_YET)] = False
    discover_tcp: Annotated[bool, Key("tunnels.discovery.tcp.enabled", boolean, "look for TCP listeners", inert=_NOT_YET)] = False
    discover_udp: Annotated[bool, Key("tunnels.discovery.udp.enabled", boolean, "look for UDP listeners", inert=_NOT_YET)] = False
    discover_tcp_label: Annotated[str, Key("tunnels.discovery.tcp.gateway_label", text, "label of the Gateways that count", placeholder="LABEL", inert=_NOT_YET)] = ""
    discover_udp_label: Annotated[str, Key("tunnels.discovery.udp.gateway_label", text, "the same for UDP", placeholder="LABEL", inert=_NOT_YET)] = ""
    tcp_buffer_size: Annotated[int, Key("tunnels.tcp.buffer_size", integer(0, 1 << 24), "as in the Go agent", placeholder="BYTES", inert="windows follow the link")] = 32_768
    tcp_keepalive: Annotated[bool, Key("tunnels.tcp.keepalive", boolean, "as in the Go agent", inert=_NOT_YET)] = True
    tcp_keepalive_period: Annotated[float, Key("tunnels.tcp.keepalive_period", duration(), "as in the Go agent", placeholder="DURATION", inert=_NOT_YET)] = 30.0
    tcp_connection_timeout: Annotated[float, Key("tunnels.tcp.connection_timeout", duration(), "as in the Go agent", placeholder="DURATION", inert=_NOT_YET)] = 30.0
    tcp_idle_timeout: Annotated[float, Key("tunnels.tcp.idle_timeout", duration(), "as in the Go agent", placeholder="DURATION", inert=_NOT_YET)] = 300.0
    tcp_max_connections: Annotated[int, Key("tunnels.tcp.max_connections", integer(0, 1_000_000), "as in the Go agent", placeholder="NUMBER", inert=_NOT_YET)] = 1000
    udp_buffer_size: Annotated[int, Key("tunnels.udp.buffer_size", integer(0, 1 << 24), "as in the Go agent", placeholder="BYTES", inert=_NOT_YET)] = 65_507
    udp_session_timeout: Annotated[float, Key("tunnels.udp.session_timeout", duration(), "as in the Go agent", placeholder="DURATION", inert=_NOT_YET)] = 300.0
    udp_max_sessions: Annotated[int, Key("tunnels.udp.max_sessions", integer(0, 1_000_000), "as in the Go agent", placeholder="NUMBER", inert=_NOT_YET)] = 1000

    # What the cluster allows
    policy_file: Annotated[str, Key("policy.file", text, "what the control plane may do here (YAML); no limit beyond RBAC if not set", "--policy-file", ("PIPEOPS_POLICY_FILE",), placeholder="FILE", security=True)] = ""
    policy_config_map: Annotated[str, Key("policy.config_map", text, "the same from key policy.yaml of a ConfigMap: namespace/name", env=("PIPEOPS_POLICY_CONFIG_MAP",), placeholder="NAMESPACE/NAME", security=True)] = ""
    services_allow: Annotated[tuple[str, ...], Key("services.allow", service_list, "Services that the control plane may reach besides those that an Ingress or route offers: namespace/name:port, * for any text", "--services-allow", ("PIPEOPS_SERVICES_ALLOW",), placeholder="SERVICE,…", security=True)] = ()
    services_default: Annotated[str, Key("services.default", choice("auto", "deny", "allow"), "Services that nothing offers; auto: refused, except to control planes that only speak the PipeOps dialect, as they expect", env=("PIPEOPS_SERVICES_DEFAULT",), placeholder="WHAT", security=True)] = "auto"
    services_ca_file: Annotated[str, Key("services.ca_file", text, "verify the certificates of Services with these certificate authorities (PEM); encrypted but not verified if not set", env=("PIPEOPS_SERVICES_CA_FILE",), placeholder="FILE", security=True)] = ""

    # Logs
    log_level: Annotated[str, Key("logging.level", text, "debug, info, warning or error", "--log-level", ("PIPEOPS_LOG_LEVEL", "LOGGING_LEVEL", "LOG_LEVEL"), placeholder="LEVEL")] = "info"
    log_format: Annotated[str, Key("logging.format", choice("auto", "json", "text"), "json, text, or auto: text on a terminal", "--log-format", ("PIPEOPS_LOG_FORMAT",), placeholder="FORMAT")] = "auto"
    log_output: Annotated[str, Key("logging.output", text, "stderr, stdout, or a file to append to", placeholder="WHERE")] = "stderr"

    # Times
    handshake_timeout: Annotated[float, Key("timeouts.websocket_handshake", _ANY_TIME, "TCP, TLS and WebSocket handshake with the control plane", placeholder="DURATION", aliases=("timeouts.websockethandshake",))] = 10.0
    ping_interval: Annotated[float, Key("timeouts.websocket_ping", duration(1), "pause between pings", placeholder="DURATION", aliases=("timeouts.websocketping",))] = 10.0
    silence_timeout: Annotated[float, Key("timeouts.websocket_read", duration(2), "a tunnel silent for so long is dead", placeholder="DURATION", aliases=("timeouts.websocketread",))] = 15.0
    first_redial: Annotated[float, Key("timeouts.websocket_reconnect", _ANY_TIME, "longest pause before the first redial", placeholder="DURATION", aliases=("timeouts.websocketreconnect",))] = 0.5
    longest_redial: Annotated[float, Key("timeouts.websocket_reconnect_max", _ANY_TIME, "longest pause between redials", placeholder="DURATION", aliases=("timeouts.websocketreconnectmax",))] = 15.0
    registration_timeout: Annotated[float, Key("timeouts.registration", _ANY_TIME, "wait for the answer to a registration", placeholder="DURATION")] = 30.0
    heartbeat_timeout: Annotated[float, Key("timeouts.heartbeat", _ANY_TIME, "time to send one heartbeat", placeholder="DURATION", inert="heartbeats never wait")] = 30.0
    kube_timeout: Annotated[float, Key("timeouts.k8s_operation", _ANY_TIME, "one request of the agent's own to the Kubernetes API", placeholder="DURATION", aliases=("timeouts.k8soperation",))] = 30.0
    dial_timeout: Annotated[float, Key("timeouts.proxy_dial", _ANY_TIME, "connecting to the API server or a service", placeholder="DURATION", aliases=("timeouts.proxydial",))] = 10.0
    idle_timeout: Annotated[float, Key("timeouts.proxy_idle", _ANY_TIME, "an unused connection to the API server is closed after this", placeholder="DURATION", aliases=("timeouts.proxyidle",))] = 90.0
    request_timeout: Annotated[float, Key("timeouts.proxy_request", _ANY_TIME, "wait for the head of an answer, at least 5m since admission may take long; streams have no limit", placeholder="DURATION", aliases=("timeouts.proxyrequest",))] = 30.0
    shutdown_timeout: Annotated[float, Key("timeouts.shutdown", duration(1), "finishing live requests on SIGTERM", placeholder="DURATION")] = 25.0
    deployment_timeout: Annotated[float, Key("timeouts.k8s_deployment", _ANY_TIME, "waiting for a rollout", placeholder="DURATION", inert="not part of this version", aliases=("timeouts.k8sdeployment",))] = 180.0
    watch_timeout: Annotated[float, Key("timeouts.k8s_resource_watch", _ANY_TIME, "one watch of the agent's own", placeholder="DURATION", inert="not part of this version", aliases=("timeouts.k8sresourcewatch",))] = 300.0
    install_timeout: Annotated[float, Key("timeouts.helm_install", _ANY_TIME, "installing a component", placeholder="DURATION", inert="not part of this version", aliases=("timeouts.helminstall",))] = 300.0
    upgrade_timeout: Annotated[float, Key("timeouts.helm_upgrade", _ANY_TIME, "upgrading a component", placeholder="DURATION", inert="not part of this version", aliases=("timeouts.helmupgrade",))] = 300.0
# fmt: on


def load_settings(
    flags: Mapping[str, str],
    *,
    environment: Mapping[str, str] = os.environ,
    config: str | None = None,
    standard_input: TextIO | None = None,
    needs_token: bool = True,
) -> Loaded[AgentSettings]:
    """Load the agent's settings: flag > environment > file > default.

    Args:
        flags: given flags by attribute name.
        environment: the process's variables.
        config: an explicit settings file; otherwise the usual places are searched.
        standard_input: where `token_file` `-` is read from.
        needs_token: a missing or unreadable token is a problem; not for commands that only look.

    Raises:
        SettingsError: with every problem.
    """
    problems: list[Problem] = []
    try:
        file = _read_file(config, environment)
    except DocumentError as error:
        file = None
        problems.append(Problem("--config" if config else "settings file", "", str(error)))
    tokens: list[tuple[Secret[str], str]] = []

    def check(values: dict[str, Any], origins: Mapping[str, Origin]) -> Iterator[Problem]:
        yield from _check(values)
        try:
            tokens.append(_token(values, origins, standard_input))
        except SettingsError as error:
            # A wrong one has been named already.
            yield from error.problems if needs_token else ()

    loaded = load(
        AgentSettings,
        flags=flags,
        environment=environment,
        file=file,
        inert=INERT,
        inert_variables=INERT_VARIABLES,
        check=check,
        excused=_excused,
        problems=problems,
    )
    if tokens:
        token, token_file = tokens[0]
        loaded.settings = msgspec.structs.replace(
            loaded.settings, token=token, token_file=token_file
        )
    if file is not None:
        loaded.file = file.path
    loaded.warnings += _advice(loaded.settings, loaded.origins)
    return loaded


def _excused(key: str, values: Mapping[str, Any]) -> bool:
    """A wrong list for a gateway that is off must not keep the agent from starting."""
    return key.startswith("gateway.") and not values.get("gateway_enabled", False)


def find_config(environment: Mapping[str, str]) -> Path | None:
    """Return the first settings file in the places where the Go agent looks, then ours."""
    home = environment.get("HOME")
    directories = [Path(home)] if home else []
    directories += [Path("/etc/pipeops"), Path()]
    names = [f".pipeops-agent.{extension}" for extension in _EXTENSIONS]
    names.append(".pipeops-agent")
    places = [directory / name for directory in directories for name in names]
    places += [Path("/etc/pipeops/config.yaml"), Path("config.yaml")]
    return next((path for path in places if path.is_file()), None)


def _read_file(config: str | None, environment: Mapping[str, str]) -> File | None:
    path = Path(config) if config else find_config(environment)
    return File(str(path), read_yaml(path, "settings file")) if path is not None else None


def _check(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between settings."""
    address = urlsplit(values.get("api_url", DEFAULT_API_URL))
    if address.scheme in {"http", "ws"} and values.get("tls_enabled", True):
        host = address.hostname or ""
        if host not in {"localhost", "::1"} and not host.startswith("127."):
            yield Problem(
                "pipeops.api_url",
                "",
                f"{address.scheme}:// would send the token in cleartext to {host}; use https://,"
                " or set pipeops.tls.enabled to false if the network is trusted",
            )
    if bool(values.get("tls_cert_file")) != bool(values.get("tls_key_file")):
        yield Problem("pipeops.tls", "", "a client certificate needs both cert_file and key_file")
    if values.get("policy_file") and values.get("policy_config_map"):
        yield Problem("policy", "", "give either file or config_map")
    if (name := values.get("policy_config_map")) and name.count("/") != 1:
        yield Problem("policy.config_map", "", "expected namespace/name")
    if values.get("routing_mode") == "direct" and values.get("force_tunnel_mode"):
        yield Problem(
            "gateway_proxy.routing_mode", "", "direct contradicts tunnels.routing.force_tunnel_mode"
        )
    if values.get("first_redial", 0.5) > values.get("longest_redial", 15.0):
        yield Problem(
            "timeouts.websocket_reconnect", "", "expected not more than websocket_reconnect_max"
        )


def _token(
    values: Mapping[str, Any], origins: Mapping[str, Origin], standard_input: TextIO | None
) -> tuple[Secret[str], str]:
    """Settle the token: of a token and a token file, the one from the higher layer.

    With it comes the file that it can be read from again, if there is one.
    """
    none = Origin(Rank.DEFAULT, "")
    direct = origins.get("token", none)
    by_file = origins.get("token_file", none)
    token: Secret[str] = values.get("token", Secret(""))
    token_file: str = values.get("token_file", "")
    if token and token_file and direct.rank == by_file.rank:
        raise SettingsError(
            [Problem("pipeops.token", direct.place, f"given twice, also as {by_file.place}")]
        )
    if token_file and by_file.rank > direct.rank:
        again = token_file if token_file != "-" else ""  # noqa: S105 - a path
        return _read_token(token_file, standard_input), again
    if token:
        return token, ""
    raise SettingsError(
        [
            Problem(
                "pipeops.token",
                "",
                "it is required: set PIPEOPS_TOKEN or --token-file;"
                " `pipeops clusters add NAME` issues one",
            )
        ]
    )


def _read_token(path: str, standard_input: TextIO | None) -> Secret[str]:
    if path != "-":
        try:
            return read_token(path)
        except CredentialError as error:
            raise SettingsError([Problem("pipeops.token_file", "", str(error))]) from error
    line = standard_input.readline(65_536).strip() if standard_input is not None else ""
    if not line:
        raise SettingsError([Problem("pipeops.token_file", "-", "standard input had no token")])
    return Secret(line)


def _advice(settings: AgentSettings, origins: Mapping[str, Origin]) -> Iterator[str]:
    """Yield warnings about settings that work but deserve a second look."""
    if "api_url" not in origins:
        yield f"no control plane is set, using {DEFAULT_API_URL} (pipeops.api_url)"
    if "cluster_name" not in origins:
        yield f"no cluster name is set, using {DEFAULT_CLUSTER_NAME} (agent.cluster_name)"
    if origins.get("token", Origin(Rank.DEFAULT, "")).rank is Rank.FLAG:
        yield "--token shows the token to everybody on this machine; use --token-file"
    if settings.tls_insecure_skip_verify:
        yield "pipeops.tls.insecure_skip_verify: anybody on the way can read and change everything"
    if urlsplit(settings.api_url).scheme in {"http", "ws"} and not settings.tls_enabled:
        yield "the tunnel is not encrypted (pipeops.tls.enabled is false)"
    if settings.allow_system_identities:
        yield "the control plane may act as system: identities (agent.allow_system_identities)"
    if settings.enable_ingress_sync and not settings.tunnel_enabled:
        yield "tunnel.enabled is false: published routes work only where they are direct"
    if settings.gateway_enabled and (problems := list(_gateway(settings))):
        yield f"the networking objects cannot be made: {'; '.join(problems)}"


def _gateway(settings: AgentSettings) -> Iterator[str]:
    if not settings.gateway_api_enabled and not settings.istio_enabled:
        yield "neither gateway.gateway_api.enabled nor gateway.istio.enabled is true"
    if settings.gateway_api_enabled:
        yield from gateway_problems(
            settings.gateway_listeners, settings.gateway_tcp_routes, settings.gateway_udp_routes
        )
    if settings.istio_enabled:
        yield from istio_problems(
            settings.istio_servers, settings.istio_tcp_routes, settings.istio_tls_routes
        )
