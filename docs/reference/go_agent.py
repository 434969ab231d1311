"""What today's Go agent has, name by name, and what is to be said about ours: the data of compatibility.md."""

#: Settings by section. A `*` stands for all keys below a name.
KEYS = """
agent.name agent.id agent.cluster_name agent.labels agent.port agent.debug agent.grafana_sub_path agent.version
agent.enable_ingress_sync agent.gateway_route_refresh_interval agent.heartbeat_interval_connected
agent.heartbeat_interval_reconnecting agent.heartbeat_interval_disconnected agent.truthful_readiness_probe
agent.compatibility.*
pipeops.api_url pipeops.token pipeops.timeout pipeops.reconnect.enabled pipeops.reconnect.max_attempts
pipeops.reconnect.interval pipeops.reconnect.backoff pipeops.tls.enabled pipeops.tls.insecure_skip_verify
pipeops.tls.ca_file pipeops.tls.cert_file pipeops.tls.key_file
kubernetes.in_cluster kubernetes.kubeconfig kubernetes.namespace kubernetes.service_token kubernetes.ca_cert_data
logging.level logging.format logging.output
tunnel.enabled tunnel.inactivity_timeout tunnel.forwards tunnel.poll_interval
tunnels.enabled tunnels.routing.force_tunnel_mode tunnels.routing.dual_mode_enabled tunnels.discovery.tcp.enabled
tunnels.discovery.udp.enabled tunnels.discovery.tcp.gateway_label tunnels.discovery.udp.gateway_label
tunnels.tcp.buffer_size tunnels.tcp.keepalive tunnels.tcp.keepalive_period tunnels.tcp.connection_timeout
tunnels.tcp.idle_timeout tunnels.tcp.max_connections tunnels.udp.buffer_size tunnels.udp.session_timeout
tunnels.udp.max_sessions
gateway.enabled gateway.release_name gateway.namespace gateway.environment.mode gateway.environment.vm_ip
gateway.istio.enabled gateway.istio.service.create gateway.istio.service.namespace gateway.istio.gateway.selector
gateway.istio.gateway.servers gateway.istio.virtual_service.tcp_routes gateway.istio.virtual_service.tls_routes
gateway.gateway_api.enabled gateway.gateway_api.gateway_class gateway.gateway_api.listeners
gateway.gateway_api.tcp_routes gateway.gateway_api.udp_routes
timeouts.websocket_handshake timeouts.websocket_ping timeouts.websocket_read timeouts.websocket_reconnect
timeouts.websocket_reconnect_max timeouts.k8s_operation timeouts.k8s_deployment timeouts.k8s_resource_watch
timeouts.proxy_request timeouts.proxy_dial timeouts.proxy_idle timeouts.registration timeouts.heartbeat
timeouts.helm_install timeouts.helm_upgrade timeouts.shutdown
upgrade.* encryption.* state.* registration.*
""".split()

FLAGS = """
--config --log-level --pipeops-url --token --cluster-name --agent-id --kubeconfig --in-cluster --gateway-enabled
--gateway-namespace --gateway-release-name --gateway-env-mode --gateway-env-vm-ip --gateway-gwapi-enabled
--gateway-gwapi-gateway-class --gateway-istio-enabled --gateway-istio-service-create
--gateway-istio-service-namespace --gateway-gwapi-listeners-json --gateway-gwapi-tcp-routes-json
--gateway-gwapi-udp-routes-json --gateway-istio-servers-json --gateway-istio-tcp-routes-json
--gateway-istio-tls-routes-json
""".split()

#: Variables with names of their own; `AGENT_PORT` for `agent.port` and so on work for every key.
VARIABLES = """
PIPEOPS_API_URL PIPEOPS_TOKEN PIPEOPS_CLUSTER_NAME PIPEOPS_AGENT_ID PIPEOPS_AGENT_GRAFANA_SUB_PATH
ENABLE_INGRESS_SYNC PIPEOPS_ENABLE_INGRESS_SYNC PIPEOPS_K8S_SERVICE_TOKEN PIPEOPS_K8S_CERT_DATA
PIPEOPS_LOG_LEVEL LOG_LEVEL PIPEOPS_PORT PIPEOPS_NODE_NAME PIPEOPS_POD_NAME PIPEOPS_POD_NAMESPACE
PIPEOPS_TRUTHFUL_READINESS_PROBE PIPEOPS_HEARTBEAT_INTERVAL_CONNECTED PIPEOPS_HEARTBEAT_INTERVAL_RECONNECTING
PIPEOPS_HEARTBEAT_INTERVAL_DISCONNECTED GATEWAY_ROUTE_REFRESH_INTERVAL
GATEWAY_ENABLED GATEWAY_RELEASE_NAME GATEWAY_NAMESPACE GATEWAY_ENVIRONMENT_MODE GATEWAY_ENVIRONMENT_VM_IP
GATEWAY_ISTIO_ENABLED GATEWAY_ISTIO_SERVICE_CREATE GATEWAY_ISTIO_SERVICE_NAMESPACE GATEWAY_GATEWAY_API_ENABLED
GATEWAY_GATEWAY_API_GATEWAY_CLASS GATEWAY_GWAPI_LISTENERS_JSON GATEWAY_GWAPI_TCP_ROUTES_JSON
GATEWAY_GWAPI_UDP_ROUTES_JSON GATEWAY_ISTIO_SERVERS_JSON GATEWAY_ISTIO_TCP_ROUTES_JSON GATEWAY_ISTIO_TLS_ROUTES_JSON
PIPEOPS_AUTO_INSTALL_COMPONENTS PIPEOPS_STATE_CONFIGMAP_NAME PIPEOPS_STATE_SECRET_NAME PIPEOPS_STATE_NAMESPACE
PIPEOPS_STATE_FILE AGENT_ALLOWED_WS_ORIGINS AGENT_WS_CHANNEL_CAPACITY AGENT_WS_PING_INTERVAL_SECONDS
AGENT_WS_PONG_TIMEOUT_SECONDS AGENT_MAX_WS_FRAME_BYTES AGENT_ENABLE_L4_TUNNEL PIPEOPS_WS_PROTOCOL SKIP_GEOIP
SKIP_METADATA METADATA_TIMEOUT_MS HTTPS_PROXY NO_PROXY KUBECONFIG
PIPEOPS_ENABLE_STATE_PERSISTENCE PIPEOPS_REGISTRATION_RETRY_INTERVAL PIPEOPS_REGISTRATION_MAX_ATTEMPTS
PIPEOPS_REGISTRATION_DEDUPLICATE PIPEOPS_ENABLE_SSE PIPEOPS_ENABLE_WEBSOCKET PIPEOPS_ENDPOINT
PIPEOPS_MONITORING_ENABLED PIPEOPS_DAEMON_ENABLED PIPEOPS_DAEMON_ROUTES
""".split()

ENDPOINTS = """
/health /ready /version /metrics /api/health/detailed /api/status/features /api/metrics/runtime
/api/status/connectivity /ws /api/realtime/events /api/realtime/logs /dashboard /api/v1/* /apis/*
""".split()

METRICS = """
pipeops_agent_status pipeops_tunnel_status pipeops_heartbeat_total pipeops_heartbeat_errors_total
pipeops_registration_attempts_total pipeops_http_requests_total pipeops_tunnel_forwards_active
pipeops_agent_heartbeat_success_total pipeops_agent_heartbeat_failures_total
pipeops_agent_heartbeat_skip_reconnecting_total pipeops_agent_heartbeat_duration_seconds
pipeops_agent_connection_state pipeops_agent_connection_state_changes_total
pipeops_agent_websocket_reconnections_total pipeops_agent_unhealthy_duration_seconds
pipeops_agent_websocket_frames_sent_total pipeops_agent_websocket_frames_received_total
pipeops_agent_websocket_bytes_sent_total pipeops_agent_websocket_bytes_received_total
pipeops_agent_websocket_active_connections pipeops_agent_websocket_proxy_errors_total
pipeops_agent_websocket_proxy_bytes_from_service_total pipeops_agent_websocket_proxy_bytes_to_service_total
pipeops_agent_websocket_proxy_active_streams pipeops_agent_websocket_proxy_streams_total
pipeops_agent_tcp_tunnel_active_connections pipeops_agent_tcp_tunnel_connections_total
pipeops_agent_tcp_tunnel_bytes_total pipeops_agent_tcp_tunnel_errors_total
pipeops_agent_tcp_tunnel_connection_duration_seconds pipeops_agent_udp_tunnel_active_sessions
pipeops_agent_udp_tunnel_sessions_total pipeops_agent_udp_tunnel_packets_total pipeops_agent_udp_tunnel_errors_total
pipeops_agent_gateway_watcher_discovered_services pipeops_agent_gateway_watcher_registration_errors_total
pipeops_agent_gateway_watcher_sync_total pipeops_agent_yamux_streams_accepted_total
pipeops_agent_yamux_stream_duration_seconds pipeops_agent_yamux_bytes_total pipeops_agent_yamux_active_streams
pipeops_agent_yamux_stream_errors_total gateway_route_sync_retries_total gateway_route_sync_failures_total
gateway_route_sync_success_total
""".split()

#: Ours does more, or what the Go agent only promises; by name, with how.
BETTER = {
    "agent.id": "never the pod's UID; stable across restarts, reschedules and image changes",
    "agent.port": "PIPEOPS_PORT is read; a port in use is exit 1 and not a log line",
    "agent.debug": "a log line for each local request",
    "agent.cluster_name": "has a default, with a warning",
    "agent.labels": "keys keep their case and dots",
    "agent.truthful_readiness_probe": "the variable is read too; without it /ready is 503 until registered",
    "agent.name": "shown in local status; has no effect in the Go agent",
    "pipeops.api_url": "wss:// stays TLS; cleartext beyond this machine needs a decision",
    "pipeops.reconnect.enabled": "has an effect: exit 1 on loss",
    "pipeops.tls.enabled": "also decides whether cleartext is allowed",
    "pipeops.tls.ca_file": "for every connection to the control plane; an unusable file is an error",
    "kubernetes.in_cluster": "has an effect",
    "kubernetes.kubeconfig": "has an effect, with exec plugins and client certificates",
    "kubernetes.namespace": "where the agent's own objects are, if nothing else says so",
    "logging.level": "has an effect",
    "logging.format": "has an effect",
    "logging.output": "has an effect; standard error by default, as the Go agent really does",
    "tunnel.enabled": "false refuses every request; absent means on",
    "timeouts.websocket_handshake": "has an effect under its documented name",
    "timeouts.websocket_ping": "has an effect under its documented name",
    "timeouts.websocket_read": "has an effect: a silent tunnel is dead",
    "timeouts.websocket_reconnect": "has an effect under its documented name",
    "timeouts.websocket_reconnect_max": "has an effect under its documented name",
    "timeouts.k8s_operation": "has an effect under its documented name",
    "timeouts.proxy_request": "never cuts a stream",
    "timeouts.proxy_dial": "has an effect",
    "timeouts.proxy_idle": "has an effect under its documented name",
    "timeouts.registration": "has an effect",
    "timeouts.shutdown": "bounds the whole stop, live requests included",
    "--config": "a missing or malformed file is an error with line and column",
    "--token": "works, and warns that others can see it; --token-file does not",
    "--kubeconfig": "has an effect",
    "--in-cluster": "has an effect",
    "PIPEOPS_LOG_LEVEL": "is read",
    "LOG_LEVEL": "is read",
    "PIPEOPS_PORT": "is read",
    "PIPEOPS_POD_NAME": "names this replica",
    "PIPEOPS_TRUTHFUL_READINESS_PROBE": "is read",
    "PIPEOPS_HEARTBEAT_INTERVAL_CONNECTED": "is read",
    "AGENT_ALLOWED_WS_ORIGINS": "an empty list allows the agent's own origin only, not every one",
    "HTTPS_PROXY": "for every connection to the control plane, never for the cluster",
    "NO_PROXY": "hosts, suffixes, ports, networks",
    "PIPEOPS_STATE_FILE": "as newer Go agents have it",
    "/ready": "503 until registered, after 30 s without a tunnel, and while stopping",
    "/health": "connection fields are true",
    "/version": "the real version; go_version carries Python's",
    "/metrics": "no series that cannot move, no unbounded label",
    "/api/health/detailed": "measured instead of constants",
    "/api/status/features": "measured instead of constants",
    "/api/status/connectivity": "tested instead of constants",
    "/ws": "origins are checked; pushes; closed at the stop",
    "/api/realtime/events": "real events; slow readers are dropped with a reason",
    "/api/realtime/logs": "the agent's log instead of one line; with the caller's token, logs of pods",
    "/dashboard": "one page without foreign assets, live",
}

#: Used without being a setting: by name, where.
ELSEWHERE = {
    "PIPEOPS_POD_NAME": "identity",
    "PIPEOPS_POD_NAMESPACE": "identity and state",
    "HTTPS_PROXY": "tunnel",
    "NO_PROXY": "tunnel",
    "KUBECONFIG": "cluster access",
    "--config": "settings file",
}

#: Missing on purpose, or not there yet; by name, why. What is in the code is never looked up here.
MISSING = {
    "/api/v1/*": "off: requests go through the control plane, where people are known",
    "/apis/*": "off: requests go through the control plane, where people are known",
    "PIPEOPS_NODE_NAME": "not needed by anything yet",
    "PIPEOPS_STATE_CONFIGMAP_NAME": "not part of this version",
    "PIPEOPS_STATE_SECRET_NAME": "not part of this version",
    "PIPEOPS_STATE_NAMESPACE": "not part of this version",
    "AGENT_ALLOWED_WS_ORIGINS": "not part of this version",
}
NOT_YET = "not part of this version"
