from datetime import UTC, datetime

from msgspec import UNSET

from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.registration import (
    Features,
    Register,
    RegisterSuccess,
    ServerSpecs,
    TunnelPorts,
)

ALL = Features(
    supports_binary_protocol=True,
    supports_compression=True,
    supports_gateway=True,
    supports_response_streaming=True,
    supports_streaming=True,
    supports_websocket_proxy=True,
)
# As a Go agent sends it; the fraction has six digits because datetime ends there.
REGISTER = (
    b'{"type":"register","request_id":"req_1781500000123456789_agent-0a1b2c3d4e5f6071","payload":'
    b'{"agent_id":"agent-0a1b2c3d4e5f6071","agent_version":"v1.6.0","cloud_provider":"hetzner",'
    b'"features":{"supports_binary_protocol":true,"supports_compression":true,'
    b'"supports_gateway":true,"supports_response_streaming":true,"supports_streaming":true,'
    b'"supports_websocket_proxy":true},"hostname":"pipeops-agent-7c9f",'
    b'"k8s_service_token":"eyJ","k8s_version":"v1.31.4+k3s1",'
    b'"labels":{"agent.pipeops.io/version":"v1.6.0","hostname":"pipeops-agent-7c9f"},'
    b'"metadata":{"agent_mode":"vm-agent","registration_mode":"fresh",'
    b'"registration_timestamp":"2026-06-15T06:26:40Z"},"name":"edge-1","region":"DE",'
    b'"server_ip":"203.0.113.9","server_specs":{"cpu_cores":4,"memory_gb":7,"disk_gb":98,'
    b'"os":"Alpine Linux v3.20"},"tunnel_port_config":{"kubernetes_api":6443,"kubelet":10250,'
    b'"agent_http":8080}},"timestamp":"2026-06-15T06:26:40.123456Z"}\n'
)
SUCCESS = (
    b'{"type":"register_success","request_id":"req_1781500000123456789_agent-0a1b2c3d4e5f6071",'
    b'"payload":{"cluster_id":"6f1c","cluster_uuid":"6f1c","name":"edge-1","status":"active",'
    b'"workspace_id":1,"gateway_ws_url":"wss://cp.example/ws"},'
    b'"timestamp":"2026-06-15T06:26:40.2Z"}\n'
)
ID = "req_1781500000123456789_agent-0a1b2c3d4e5f6071"


def sample() -> Register:
    return Register(
        agent_id="agent-0a1b2c3d4e5f6071",
        name="edge-1",
        k8s_version="v1.31.4+k3s1",
        hostname="pipeops-agent-7c9f",
        agent_version="v1.6.0",
        server_ip="203.0.113.9",
        region="DE",
        cloud_provider="hetzner",
        labels={"hostname": "pipeops-agent-7c9f", "agent.pipeops.io/version": "v1.6.0"},
        server_specs=ServerSpecs(cpu_cores=4, memory_gb=7, disk_gb=98, os="Alpine Linux v3.20"),
        features=ALL,
        metadata={
            "registration_timestamp": "2026-06-15T06:26:40Z",
            "agent_mode": "vm-agent",
            "registration_mode": "fresh",
        },
        k8s_service_token="eyJ",
    )


def test_register_is_byte_exact():
    now = datetime(2026, 6, 15, 6, 26, 40, 123_456, UTC)
    assert envelope.encode(Register.TYPE, sample(), request_id=ID, now=now) == REGISTER


def test_register_of_a_go_agent_is_read():
    got = envelope.decode(REGISTER)
    assert got.request_id == ID
    assert got.decode(Register) == sample()


def test_success_is_byte_exact_and_read_back():
    now = datetime(2026, 6, 15, 6, 26, 40, 200_000, UTC)
    success = RegisterSuccess(
        cluster_id="6f1c",
        cluster_uuid="6f1c",
        name="edge-1",
        status="active",
        workspace_id=1,
        gateway_ws_url="wss://cp.example/ws",
    )
    assert envelope.encode(RegisterSuccess.TYPE, success, request_id=ID, now=now) == SUCCESS
    assert envelope.decode(SUCCESS).decode(RegisterSuccess) == success


def test_keys_of_the_go_map_are_in_bytewise_order():
    names = list(Register.__struct_encode_fields__)
    assert names == sorted(names)
    assert list(Features.__struct_encode_fields__) == sorted(Features.__struct_encode_fields__)


def test_extensions_travel_beside_the_go_fields():
    mine = Register(
        agent_id="a", features=Features(x_native=True), x_instance="i", x_epoch=1 << 41, x_lane=0
    )
    got = envelope.decode(envelope.encode("register", mine, now=datetime.now(UTC)))
    assert got.decode(Register) == mine
    success = RegisterSuccess(
        cluster_id="c", x_session_secret="s", x_heartbeat_interval_seconds=5, x_lanes=2
    )
    line = envelope.encode("register_success", success, now=datetime.now(UTC))
    assert envelope.decode(line).decode(RegisterSuccess) == success


def test_a_go_agent_has_no_extensions():
    got = envelope.decode(REGISTER).decode(Register)
    assert got.features.x_native is UNSET
    assert got.x_epoch is UNSET


def test_absent_members_are_left_out_and_a_nil_map_is_null():
    line = envelope.encode("register", Register(agent_id="a"), now=datetime.now(UTC))
    assert b'"server_specs":{}' in line
    assert b'"labels":null' in line
    assert b"cluster_id" not in line
    assert TunnelPorts().kubelet == 10250
