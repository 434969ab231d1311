"""The agent's lines of the transcripts in reference protocol §7, byte for byte; only ids and times are normalised.

7.1's hand-over is in `test_gateway.py`, 7.3 in `test_agent_requests.py`, 7.5 in `test_agent_relays.py`, 7.6 in
`test_agent_connections.py` (messages) and `test_transcript_of_a_stream.py` (yamux).
"""

import re

from tests.conformance.conftest import Bench

REGISTER = (
    '{"type":"register","request_id":"ID","payload":{"agent_id":"agent-0a1b2c3d4e5f6071","agent_version":"v1.6.0",'
    '"cloud_provider":"hetzner","features":{"supports_binary_protocol":true,"supports_compression":true,'
    '"supports_gateway":true,"supports_response_streaming":true,"supports_streaming":true,'
    '"supports_websocket_proxy":true},"hostname":"pipeops-agent-7c9f","k8s_service_token":"eyJ",'
    '"k8s_version":"v1.31.4+k3s1","labels":{"agent.pipeops.io/version":"v1.6.0","hostname":"pipeops-agent-7c9f"},'
    '"metadata":{"agent_mode":"vm-agent","registration_mode":"fresh",'
    '"registration_timestamp":"2026-06-15T06:26:40Z"},"name":"edge-1","region":"DE","server_ip":"203.0.113.9",'
    '"server_specs":{"cpu_cores":4,"memory_gb":7,"disk_gb":98,"os":"Alpine Linux v3.20"},'
    '"tunnel_port_config":{"kubernetes_api":6443,"kubelet":10250,"agent_http":8080}},"timestamp":"NOW"}\n'
)
HELLO_ACK = '{"type":"gateway_hello_ack","payload":{"use_yamux":true},"timestamp":"NOW"}\n'
HEARTBEAT = (
    '{"type":"heartbeat","payload":{"agent_id":"agent-0a1b2c3d4e5f6071","cluster_id":"6f1c","metadata":'
    '{"agent_version":"v1.6.0","cpu_usage":"0%","gateway_routes":2,"is_private":true,"k8s_nodes":3,"k8s_pods":41,'
    '"k8s_version":"v1.31.4+k3s1","memory_usage":"0%"},"status":"healthy","tunnel_status":"connected"},'
    '"timestamp":"NOW"}\n'
)
STREAMED = (
    (
        '{"type":"proxy_response_header","request_id":"rq-0002","payload":{"headers":{"Content-Type":'
        '["application/json"]},"status":200},"timestamp":"NOW"}\n'
    ),
    (
        '{"type":"proxy_response_chunk","request_id":"rq-0002","payload":{"data":"eyJ0eXBlIjoiQURERUQiLC4uLn0K",'
        '"encoding":"base64","size":21},"timestamp":"NOW"}\n'
    ),
    '{"type":"proxy_response_end","request_id":"rq-0002","payload":{},"timestamp":"NOW"}\n',
)
TIME = re.compile(r'"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,8}[1-9])?Z"}')
ID = re.compile(r'"req_\d{19}_agent-0a1b2c3d4e5f6071"')


def lines(bench: Bench) -> list[str]:
    """Text messages of the agent, normalised; each must have a time and a line break as Go writes them."""
    found = []
    for entry in bench.socket.received:
        if entry.kind == 1:
            text, count = TIME.subn('"timestamp":"NOW"}', entry.raw.decode())
            assert count == 1, entry.raw
            found.append(ID.sub('"ID"', text))
    return found


async def test_registration_negotiation_and_heartbeat(multiplexed: Bench) -> None:
    """§7.1 and §7.2."""
    assert lines(multiplexed) == [REGISTER, HELLO_ACK, HEARTBEAT]


async def test_a_streamed_watch(multiplexed: Bench) -> None:
    """§7.4."""

    async def watch(request) -> None:  # type: ignore[no-untyped-def]
        await request.begin_chunked()
        await request.chunk(b'{"type":"ADDED",...}\n')
        request.writer.write(b"0\r\n\r\n")

    path = "/api/v1/namespaces/default/pods"
    multiplexed.api.handlers[path] = watch
    payload = {
        "method": "GET",
        "path": path,
        "query": "watch=true&timeoutSeconds=25",
        "headers": {"Authorization": ["Bearer eyJ"]},
        "supports_response_streaming": True,
    }
    multiplexed.socket.send("proxy_request", payload, "rq-0002")
    await multiplexed.socket.answer("rq-0002")
    assert tuple(lines(multiplexed)[3:]) == STREAMED
