from datetime import UTC, datetime

from pipeops.protocol.messages import envelope
from pipeops.protocol.messages.heartbeat import (
    Heartbeat,
    HeartbeatAck,
    HeartbeatMetadata,
    WorkerJoin,
)

WIRE = (
    b'{"type":"heartbeat","payload":{"agent_id":"agent-0a1b2c3d4e5f6071","cluster_id":"6f1c",'
    b'"metadata":{"agent_version":"v1.6.0","cpu_usage":"0%","gateway_routes":2,"is_private":true,'
    b'"k8s_nodes":3,"k8s_pods":41,"k8s_version":"v1.31.4+k3s1","memory_usage":"0%"},'
    b'"status":"healthy","tunnel_status":"connected"},"timestamp":"2026-06-15T06:27:10.5Z"}\n'
)
ACK = (
    b'{"type":"heartbeat_ack","payload":{"received_at":"2026-06-15T06:27:10.6Z"},'
    b'"timestamp":"2026-06-15T06:27:10.6Z"}\n'
)


def sample() -> Heartbeat:
    return Heartbeat(
        agent_id="agent-0a1b2c3d4e5f6071",
        cluster_id="6f1c",
        metadata=HeartbeatMetadata(
            agent_version="v1.6.0",
            cpu_usage="0%",
            gateway_routes=2,
            is_private=True,
            k8s_nodes=3,
            k8s_pods=41,
            k8s_version="v1.31.4+k3s1",
            memory_usage="0%",
        ),
    )


def test_byte_exact_and_read_back():
    now = datetime(2026, 6, 15, 6, 27, 10, 500_000, UTC)
    assert envelope.encode(Heartbeat.TYPE, sample(), now=now) == WIRE
    assert envelope.decode(WIRE).decode(Heartbeat) == sample()


def test_ack_is_byte_exact():
    now = datetime(2026, 6, 15, 6, 27, 10, 600_000, UTC)
    ack = HeartbeatAck(received_at=envelope.format_time(now))
    assert envelope.encode(HeartbeatAck.TYPE, ack, now=now) == ACK


def test_keys_of_the_go_maps_are_in_bytewise_order():
    for kind in (Heartbeat, HeartbeatMetadata):
        assert list(kind.__struct_encode_fields__) == sorted(kind.__struct_encode_fields__)


def test_nil_metadata_is_null_and_read():
    line = envelope.encode(
        "heartbeat", Heartbeat(agent_id="a", cluster_id="c"), now=datetime.now(UTC)
    )
    assert b'"metadata":null' in line
    assert envelope.decode(line).decode(Heartbeat).metadata is None


def test_optional_groups_travel():
    beat = Heartbeat(
        agent_id="a",
        cluster_id="c",
        grafana_url="http://g",
        grafana_ssl=False,
        worker_join=WorkerJoin(provider="k3s", commands=["a", "b"]),
    )
    line = envelope.encode("heartbeat", beat, now=datetime.now(UTC))
    assert envelope.decode(line).decode(Heartbeat) == beat
