import io
from pathlib import Path

import pytest

from pipeops.agent.settings import AgentSettings, find_config, load_settings
from pipeops.runtime.settings import SettingsError, keys_of

BASE = {
    "PIPEOPS_TOKEN": "tok",
    "PIPEOPS_API_URL": "https://cp",
    "PIPEOPS_CLUSTER_NAME": "edge",
    "HOME": "/nonexistent",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(flags=None, *, config=None, stdin=None, **environment):
    merged = {**BASE, **environment}
    return load_settings(
        flags or {},
        environment={name: value for name, value in merged.items() if value},
        config=config,
        standard_input=io.StringIO(stdin) if stdin is not None else None,
    )


def refused(*args, **options) -> str:
    with pytest.raises(SettingsError) as caught:
        read(*args, **options)
    return str(caught.value)


def test_the_go_agents_environment_is_enough():
    loaded = read()
    settings = loaded.settings
    assert (settings.api_url, settings.cluster_name) == ("https://cp", "edge")
    assert settings.token.reveal() == "tok"
    assert loaded.warnings == []


def test_defaults_follow_the_design():
    settings = read().settings
    assert settings.tunnel_enabled
    assert settings.ping_interval == 10
    assert settings.silence_timeout == 15
    assert (settings.first_redial, settings.longest_redial) == (0.5, 15)
    assert settings.heartbeat_interval_connected is None
    assert settings.send_service_account_token == "auto"
    assert not settings.allow_system_identities


def test_defaults_of_url_and_name_warn():
    loaded = read(PIPEOPS_API_URL="", PIPEOPS_CLUSTER_NAME="")
    assert loaded.settings.api_url == "https://api.pipeops.sh"
    assert loaded.settings.cluster_name == "default-cluster"
    assert len(loaded.warnings) == 2


def test_a_token_is_required():
    assert "it is required" in refused(PIPEOPS_TOKEN="")


def test_token_file_and_standard_input(tmp_path):
    path = tmp_path / "token"
    path.write_text("from-file\n")
    assert (
        read(PIPEOPS_TOKEN="", PIPEOPS_TOKEN_FILE=str(path)).settings.token.reveal() == "from-file"
    )
    assert read({"token_file": "-"}, stdin="piped\nrest").settings.token.reveal() == "piped"
    assert "standard input had no token" in refused({"token_file": "-"}, stdin="\n")
    assert "No such file" in refused({"token_file": "/no/such"})


def test_the_higher_layer_decides_between_token_and_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("from-file")
    assert read({"token_file": str(path)}).settings.token.reveal() == "from-file"
    flagged = read({"token": "flag"}, PIPEOPS_TOKEN_FILE=str(path))
    assert flagged.settings.token.reveal() == "flag"
    assert "--token-file" in flagged.warnings[0]
    assert "given twice" in refused(PIPEOPS_TOKEN_FILE=str(path))


def test_cleartext_beyond_this_machine_needs_a_decision():
    assert "cleartext" in refused(PIPEOPS_API_URL="http://cp.example")
    assert "cleartext" in refused(PIPEOPS_API_URL="ws://10.0.0.1")
    assert not read(PIPEOPS_API_URL="http://127.0.0.1:8443").warnings
    assert not read(PIPEOPS_API_URL="ws://[::1]:8443").warnings
    loaded = read(PIPEOPS_API_URL="http://cp.example", PIPEOPS_TLS_ENABLED="false")
    assert "not encrypted" in loaded.warnings[0]


def test_half_a_client_certificate_is_refused():
    assert "both cert_file and key_file" in refused(PIPEOPS_TLS_CERT_FILE="x")


def test_dangerous_settings_warn():
    loaded = read({"allow_system_identities": "true"}, PIPEOPS_TLS_INSECURE_SKIP_VERIFY="1")
    assert len(loaded.warnings) == 2


def test_redial_times_must_fit():
    assert "websocket_reconnect_max" in refused(TIMEOUTS_WEBSOCKET_RECONNECT="20s")


def test_a_go_agents_file(tmp_path):
    path = tmp_path / "agent.yaml"
    path.write_text(
        """
agent:
  cluster_name: from-file
  labels: {App.io/Env: prod}
  port: 9090
pipeops:
  timeout: 1m
  reconnect: {enabled: true, max_attempts: 3, interval: 5s, backoff: 5s}
  tls: {enabled: true, insecure_skip_verify: false, ca_file: ""}
kubernetes: {in_cluster: true, namespace: ns}
logging: {level: debug, format: json, output: stdout}
tunnel: {enabled: false}
upgrade: {enabled: false}
timeouts: {websocket_ping: 5s}
"""
    )
    loaded = read(config=str(path), PIPEOPS_CLUSTER_NAME="")
    settings = loaded.settings
    assert settings.cluster_name == "from-file"
    assert settings.labels == {"App.io/Env": "prod"}
    assert (settings.port, settings.timeout, settings.in_cluster) == (9090, 60, True)
    assert (settings.log_level, settings.log_output) == ("debug", "stdout")
    assert not settings.tunnel_enabled
    assert settings.ping_interval == 5
    assert [line.split(":")[0] for line in loaded.warnings[1:]] == ["accepted without effect"]
    assert loaded.warnings[0].startswith("upgrade.*")


def test_log_level_variables_by_rank():
    assert read(LOG_LEVEL="error").settings.log_level == "error"
    assert read(LOG_LEVEL="error", PIPEOPS_LOG_LEVEL="debug").settings.log_level == "debug"


def test_an_explicit_file_must_be_good(tmp_path):
    assert "No such file" in refused(config="/no/such")
    path = tmp_path / "bad.yaml"
    path.write_text("a: b: c")
    assert "line 1" in refused(config=str(path))


def test_files_are_found_where_the_go_agent_looks(tmp_path):
    assert find_config({}) is None
    (tmp_path / "config.yaml").write_text("")
    assert str(find_config({})) == "config.yaml"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".pipeops-agent.yaml").write_text("agent: {port: 1234}")
    assert find_config({"HOME": str(home)}) == home / ".pipeops-agent.yaml"
    assert read(HOME=str(home)).settings.port == 1234


def test_every_key_is_documented_and_unique():
    keys = list(keys_of(AgentSettings).values())
    assert len(keys) == len(AgentSettings.__struct_fields__)
    assert all(key.help and key.name.count(".") in {1, 2, 3} for key in keys)
    assert len({key.name for key in keys}) == len(keys)
    variables = [name for key in keys for name in key.variables]
    assert len(set(variables)) == len(variables)


def test_settings_do_not_print_the_token():
    assert "'tok'" not in repr(read().settings)


def test_the_example_of_the_repository_is_valid():
    example = Path(__file__).resolve().parents[3] / "config.example.yaml"
    loaded = read(config=str(example), PIPEOPS_API_URL="", PIPEOPS_CLUSTER_NAME="")
    settings = loaded.settings
    assert settings.cluster_name == "my-cluster"
    assert settings.port == 8080
    assert settings.forwards[0].local_addr == "localhost:6443"
    assert not [line for line in loaded.warnings if "unknown" in line]


def test_every_wrong_value_of_every_layer_is_told_at_once(tmp_path):
    path = tmp_path / "agent.yaml"
    path.write_text("pipeops: {timeout: soon}\nlogging: {format: xml}\n")
    told = refused(
        {"port": "x"}, config=str(path), PIPEOPS_TOKEN="", PIPEOPS_RECONNECT_ENABLED="maybe"
    )
    for words in (
        f"pipeops.timeout ({path}): expected a duration",
        f"logging.format ({path}): expected one of",
        "agent.port (--port): expected a whole number",
        "pipeops.reconnect.enabled (PIPEOPS_RECONNECT_ENABLED): expected true or false",
        "pipeops.token: it is required",
    ):
        assert words in told
    assert "No such file" in (told := refused({"port": "x"}, config="/no/such"))
    assert "agent.port" in told


LISTENERS = '[{"name":"tcp-runner","port":5000,"protocol":"TCP"}]'


def test_inline_json_replaces_the_files_list(tmp_path):
    path = tmp_path / "agent.yaml"
    path.write_text("gateway: {gateway_api: {listeners: [{name: a, port: 1}, {name: b, port: 2}]}}")
    assert len(read(config=str(path)).settings.gateway_listeners) == 2
    by_variable = read(config=str(path), GATEWAY_GWAPI_LISTENERS_JSON=LISTENERS)
    assert by_variable.settings.gateway_listeners[0].name == "tcp-runner"
    by_flag = read({"gateway_listeners": LISTENERS.replace("5000", "6000")})
    assert by_flag.settings.gateway_listeners[0].port == 6000


def test_wrong_json_stops_the_agent_only_if_the_gateway_is_on():
    loaded = read(GATEWAY_GWAPI_LISTENERS_JSON="[{")
    assert "it is ignored" in loaded.warnings[0]
    assert "expected a list such as" in refused(
        GATEWAY_GWAPI_LISTENERS_JSON="[{", GATEWAY_ENABLED="true"
    )


def test_an_unusable_gateway_is_a_warning_with_every_reason():
    loaded = read(
        GATEWAY_ENABLED="true",
        GATEWAY_GATEWAY_API_ENABLED="true",
        GATEWAY_GWAPI_TCP_ROUTES_JSON='[{"name": "r", "sectionName": "x", "backendRefs": []}]',
    )
    (line,) = [line for line in loaded.warnings if "cannot be made" in line]
    assert "listener is required" in line
    assert "names no TCP listener" in line
    assert "neither" in " ".join(read(GATEWAY_ENABLED="1").warnings)


def test_names_of_todays_code_and_of_the_documentation_both_work(tmp_path):
    path = tmp_path / "agent.yaml"
    path.write_text(
        "gateway: {environment: {mode: single-vm, vmIP: 192.0.2.10}}\n"
        "timeouts: {websocketping: 5s}\nagent: {gateway_route_refresh_interval: 2}\n"
    )
    settings = read(config=str(path), PIPEOPS_ENABLE_INGRESS_SYNC="true").settings
    assert (settings.gateway_environment, settings.gateway_vm_ip) == ("single-vm", "192.0.2.10")
    assert settings.ping_interval == 5
    assert settings.route_refresh_interval == 7200
    assert settings.enable_ingress_sync


def test_forwards_and_policy_are_checked():
    loaded = read({"forwards": '[{"name": "api", "local_addr": "localhost:6443"}]'})
    assert loaded.settings.forwards[0].local_addr == "localhost:6443"
    assert "local_addr is host:port" in refused(
        {"forwards": '[{"name": "x", "local_addr": "localhost"}]'}
    )
    assert "either file or config_map" in refused(
        PIPEOPS_POLICY_FILE="p", PIPEOPS_POLICY_CONFIG_MAP="a/b"
    )
    assert "namespace/name" in refused(PIPEOPS_POLICY_CONFIG_MAP="b")


def test_looking_needs_no_token():
    loaded = load_settings({}, environment={"HOME": "/nonexistent"}, needs_token=False)
    assert not loaded.settings.token


def test_how_routes_are_published_is_read_from_every_layer(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("gateway_proxy: {scope: managed, ingress_classes: [nginx, internal]}\n")
    settings = read(
        config=str(path),
        GATEWAY_PROXY_ROUTING_MODE="direct",
        GATEWAY_PROXY_PUBLIC_ENDPOINT="lb.example.com:443",
        GATEWAY_PROXY_INGRESS_SERVICE="traefik/traefik:80",
        GATEWAY_ROUTE_REFRESH_INTERVAL="6",
    ).settings
    assert (settings.route_scope, settings.route_target) == ("managed", "service")
    assert settings.ingress_classes == ("nginx", "internal")
    assert (settings.routing_mode, settings.public_endpoint) == ("direct", "lb.example.com:443")
    assert str(settings.ingress_service) == "traefik/traefik:80"
    assert settings.route_refresh_interval == 6 * 3600
    assert "namespace/name:port" in refused(GATEWAY_PROXY_INGRESS_SERVICE="traefik")


def test_a_mode_cannot_contradict_the_other_setting_for_it():
    text = refused(GATEWAY_PROXY_ROUTING_MODE="direct", TUNNELS_ROUTING_FORCE_TUNNEL_MODE="true")
    assert "force_tunnel_mode" in text


def test_routes_without_a_tunnel_deserve_a_second_look():
    on = {"ENABLE_INGRESS_SYNC": "true"}
    assert not read(**on).warnings
    assert "only where they are direct" in read(**on, TUNNEL_ENABLED="false").warnings[0]
