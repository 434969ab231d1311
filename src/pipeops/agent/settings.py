"""AgentSettings: every setting of the agent, one line each, and how they are loaded."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TextIO
from urllib.parse import urlsplit

import msgspec

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
    "gateway.": "not part of this version; the section has no effect",
    "tunnels.": "not part of this version; the section has no effect",
    "state.": "the chart's own values; no effect",
    "registration.": "the chart's own values; no effect",
}

_ANY_TIME = duration(0.001)


# fmt: off
class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one agent process; data only. Durations are seconds."""

    # The control plane
    api_url: Annotated[str, Key("pipeops.api_url", url("https", "http", "wss", "ws"), "the control plane", "--pipeops-url", ("PIPEOPS_API_URL",), security=True, placeholder="URL")] = DEFAULT_API_URL
    token: Annotated[Secret[str], Key("pipeops.token", secret, "this cluster's token; visible to other users as a flag, prefer --token-file", "--token", ("PIPEOPS_TOKEN",), secret=True, security=True, placeholder="TOKEN")] = Secret("")
    token_file: Annotated[str, Key("pipeops.token_file", text, "read the token from a file; - for standard input", "--token-file", ("PIPEOPS_TOKEN_FILE",), security=True, placeholder="FILE")] = ""
    timeout: Annotated[float, Key("pipeops.timeout", _ANY_TIME, "time for one HTTP request to the control plane; no effect in this version", placeholder="DURATION")] = 30.0
    tls_enabled: Annotated[bool, Key("pipeops.tls.enabled", boolean, "false allows an http or ws URL beyond this machine", security=True)] = True
    tls_insecure_skip_verify: Annotated[bool, Key("pipeops.tls.insecure_skip_verify", boolean, "accept any certificate of the control plane: never in production", security=True)] = False
    tls_ca_file: Annotated[str, Key("pipeops.tls.ca_file", text, "trust these certificate authorities (PEM) besides the system's", "--ca-file", ("PIPEOPS_CA_FILE",), security=True, placeholder="FILE")] = ""
    tls_cert_file: Annotated[str, Key("pipeops.tls.cert_file", text, "client certificate (PEM) shown to the control plane", security=True, placeholder="FILE")] = ""
    tls_key_file: Annotated[str, Key("pipeops.tls.key_file", text, "key of the client certificate (PEM)", security=True, placeholder="FILE")] = ""
    reconnect_enabled: Annotated[bool, Key("pipeops.reconnect.enabled", boolean, "false: exit 1 when the tunnel is lost")] = True
    reconnect_max_attempts: Annotated[int, Key("pipeops.reconnect.max_attempts", integer(0, 1_000_000), "attempts of one heartbeat; no effect in this version", placeholder="NUMBER")] = 10
    reconnect_interval: Annotated[float, Key("pipeops.reconnect.interval", _ANY_TIME, "first pause between attempts of one heartbeat; no effect in this version", placeholder="DURATION")] = 5.0
    reconnect_backoff: Annotated[float, Key("pipeops.reconnect.backoff", _ANY_TIME, "as in the Go agent; no effect in this version", placeholder="DURATION")] = 5.0
    send_service_account_token: Annotated[str, Key("agent.send_service_account_token", choice("auto", "always", "never"), "send the ServiceAccount token at registration; auto: unless the control plane says it needs none", security=True, placeholder="WHEN")] = "auto"  # noqa: S105 -- a word, no secret

    # The agent
    cluster_name: Annotated[str, Key("agent.cluster_name", text, "name shown for this cluster", "--cluster-name", ("PIPEOPS_CLUSTER_NAME",), placeholder="NAME")] = DEFAULT_CLUSTER_NAME
    agent_id: Annotated[str, Key("agent.id", text, "identity of this agent; derived from where it runs if empty", "--agent-id", ("PIPEOPS_AGENT_ID",), placeholder="ID")] = ""
    agent_name: Annotated[str, Key("agent.name", text, "name shown in local status; no effect in this version", placeholder="NAME")] = ""
    labels: Annotated[dict[str, str], Key("agent.labels", mapping, "labels of this cluster", placeholder="KEY=VALUE,…")] = {}
    port: Annotated[int, Key("agent.port", integer(0, 65_535), "port of the local HTTP server; 0 takes a free one; no effect in this version", "--port", ("PIPEOPS_PORT",), placeholder="PORT")] = 8080
    debug: Annotated[bool, Key("agent.debug", boolean, "log every local HTTP request; no effect in this version")] = False
    shown_version: Annotated[str, Key("agent.version", text, "version shown by /health instead of the real one; no effect in this version", placeholder="VERSION")] = ""
    truthful_readiness_probe: Annotated[bool, Key("agent.truthful_readiness_probe", boolean, "/ready tells the tunnel's state; no effect in this version", env=("PIPEOPS_TRUTHFUL_READINESS_PROBE",))] = False
    heartbeat_interval_connected: Annotated[float | None, Key("agent.heartbeat_interval_connected", duration(1), "pause between heartbeats; the control plane's wish, else 5s, if not set", env=("PIPEOPS_HEARTBEAT_INTERVAL_CONNECTED",), placeholder="DURATION")] = None
    heartbeat_interval_reconnecting: Annotated[float, Key("agent.heartbeat_interval_reconnecting", duration(1), "the same while reconnecting; no effect in this version", env=("PIPEOPS_HEARTBEAT_INTERVAL_RECONNECTING",), placeholder="DURATION")] = 60.0
    heartbeat_interval_disconnected: Annotated[float, Key("agent.heartbeat_interval_disconnected", duration(1), "the same while disconnected; no effect in this version", env=("PIPEOPS_HEARTBEAT_INTERVAL_DISCONNECTED",), placeholder="DURATION")] = 15.0
    allow_system_identities: Annotated[bool, Key("agent.allow_system_identities", boolean, "let the control plane act as system: users and groups too", "--allow-system-identities", security=True)] = False
    state_file: Annotated[str, Key("agent.state_file", text, "keep the agent's state in this file, instead of in the cluster or the usual places", "--state-file", ("PIPEOPS_STATE_FILE",), placeholder="FILE")] = ""
    tunnel_enabled: Annotated[bool, Key("tunnel.enabled", boolean, "false: register and send heartbeats only")] = True

    # The cluster
    kubeconfig: Annotated[str, Key("kubernetes.kubeconfig", text, "kubeconfig of the cluster; else $KUBECONFIG, ~/.kube/config", "--kubeconfig", placeholder="FILE")] = ""
    kube_context: Annotated[str, Key("kubernetes.context", text, "context of the kubeconfig; else its current one", "--context", placeholder="NAME")] = ""
    in_cluster: Annotated[bool, Key("kubernetes.in_cluster", boolean, "use the pod's ServiceAccount", "--in-cluster")] = False
    namespace: Annotated[str, Key("kubernetes.namespace", text, "namespace of the agent's own objects; no effect in this version", placeholder="NAME")] = "pipeops-system"
    service_token: Annotated[Secret[str], Key("kubernetes.service_token", secret, "ServiceAccount token offered instead of the mounted one", env=("PIPEOPS_K8S_SERVICE_TOKEN",), secret=True, security=True, placeholder="TOKEN")] = Secret("")
    ca_cert_data: Annotated[str, Key("kubernetes.ca_cert_data", text, "cluster CA offered instead of the mounted one (base64 of PEM); no effect in this version", env=("PIPEOPS_K8S_CERT_DATA",), placeholder="BASE64")] = ""

    # Logs
    log_level: Annotated[str, Key("logging.level", text, "debug, info, warning or error", "--log-level", ("PIPEOPS_LOG_LEVEL", "LOGGING_LEVEL", "LOG_LEVEL"), placeholder="LEVEL")] = "info"
    log_format: Annotated[str, Key("logging.format", choice("auto", "json", "text"), "json, text, or auto: text on a terminal", "--log-format", ("PIPEOPS_LOG_FORMAT",), placeholder="FORMAT")] = "auto"
    log_output: Annotated[str, Key("logging.output", text, "stderr, stdout, or a file to append to", placeholder="WHERE")] = "stderr"

    # Times
    handshake_timeout: Annotated[float, Key("timeouts.websocket_handshake", _ANY_TIME, "TCP, TLS and WebSocket handshake with the control plane", placeholder="DURATION")] = 10.0
    ping_interval: Annotated[float, Key("timeouts.websocket_ping", duration(1), "pause between pings", placeholder="DURATION")] = 10.0
    silence_timeout: Annotated[float, Key("timeouts.websocket_read", duration(2), "a tunnel silent for so long is dead", placeholder="DURATION")] = 15.0
    first_redial: Annotated[float, Key("timeouts.websocket_reconnect", _ANY_TIME, "longest pause before the first redial", placeholder="DURATION")] = 0.5
    longest_redial: Annotated[float, Key("timeouts.websocket_reconnect_max", _ANY_TIME, "longest pause between redials", placeholder="DURATION")] = 15.0
    registration_timeout: Annotated[float, Key("timeouts.registration", _ANY_TIME, "wait for the answer to a registration", placeholder="DURATION")] = 30.0
    heartbeat_timeout: Annotated[float, Key("timeouts.heartbeat", _ANY_TIME, "time to send one heartbeat; no effect in this version", placeholder="DURATION")] = 30.0
    kube_timeout: Annotated[float, Key("timeouts.k8s_operation", _ANY_TIME, "one request of the agent's own to the Kubernetes API", placeholder="DURATION")] = 30.0
    dial_timeout: Annotated[float, Key("timeouts.proxy_dial", _ANY_TIME, "connecting to the API server or a service", placeholder="DURATION")] = 10.0
    idle_timeout: Annotated[float, Key("timeouts.proxy_idle", _ANY_TIME, "an unused connection to the API server is closed after this", placeholder="DURATION")] = 90.0
    request_timeout: Annotated[float, Key("timeouts.proxy_request", _ANY_TIME, "wait for the head of an answer, at least 5m since admission may take long; streams have no limit", placeholder="DURATION")] = 30.0
    shutdown_timeout: Annotated[float, Key("timeouts.shutdown", duration(1), "finishing live requests on SIGTERM", placeholder="DURATION")] = 25.0
    deployment_timeout: Annotated[float, Key("timeouts.k8s_deployment", _ANY_TIME, "waiting for a rollout; no effect in this version", placeholder="DURATION")] = 180.0
    watch_timeout: Annotated[float, Key("timeouts.k8s_resource_watch", _ANY_TIME, "one watch of the agent's own; no effect in this version", placeholder="DURATION")] = 300.0
    install_timeout: Annotated[float, Key("timeouts.helm_install", _ANY_TIME, "installing a component; no effect in this version", placeholder="DURATION")] = 300.0
    upgrade_timeout: Annotated[float, Key("timeouts.helm_upgrade", _ANY_TIME, "upgrading a component; no effect in this version", placeholder="DURATION")] = 300.0
# fmt: on


def load_settings(
    flags: Mapping[str, str],
    *,
    environment: Mapping[str, str] = os.environ,
    config: str | None = None,
    standard_input: TextIO | None = None,
) -> Loaded[AgentSettings]:
    """Load the agent's settings: flag > environment > file > default.

    Args:
        flags: given flags by attribute name.
        environment: the process's variables.
        config: an explicit settings file; otherwise the usual places are searched.
        standard_input: where `token_file` `-` is read from.

    Raises:
        SettingsError: with every problem.
    """
    file = _read_file(config, environment)
    loaded = load(
        AgentSettings, flags=flags, environment=environment, file=file, inert=INERT, check=_check
    )
    token, token_file = _token(loaded, standard_input)
    settings = msgspec.structs.replace(loaded.settings, token=token, token_file=token_file)
    loaded.settings = settings
    loaded.warnings += _advice(settings, loaded.origins)
    return loaded


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
    if path is None:
        return None
    try:
        return File(str(path), read_yaml(path, "settings file"))
    except DocumentError as error:
        raise SettingsError([Problem("--config", "", str(error))]) from error


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
    if values.get("first_redial", 0.5) > values.get("longest_redial", 15.0):
        yield Problem(
            "timeouts.websocket_reconnect", "", "expected not more than websocket_reconnect_max"
        )


def _token(loaded: Loaded[AgentSettings], standard_input: TextIO | None) -> tuple[Secret[str], str]:
    """Settle the token: of a token and a token file, the one from the higher layer.

    With it comes the file that it can be read from again, if there is one.
    """
    settings = loaded.settings
    none = Origin(Rank.DEFAULT, "")
    direct = loaded.origins.get("token", none)
    by_file = loaded.origins.get("token_file", none)
    if settings.token and settings.token_file and direct.rank == by_file.rank:
        raise SettingsError(
            [Problem("pipeops.token", direct.place, f"given twice, also as {by_file.place}")]
        )
    if settings.token_file and by_file.rank > direct.rank:
        again = settings.token_file if settings.token_file != "-" else ""  # noqa: S105 - a path
        return _read_token(settings.token_file, standard_input), again
    if settings.token:
        return settings.token, ""
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
