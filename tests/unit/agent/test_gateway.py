"""The gateway named by a registration: its URL as dialled."""

import pytest

from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.gateway import GatewayRefused, gateway_of
from pipeops.protocol.messages.registration import RegisterSuccess

SECURE = ControlPlaneUrl.parse("https://control.example")
CLEAR = ControlPlaneUrl.parse("http://127.0.0.1:1")
OURS = "supports_binary=true&supports_response_streaming=true&supports_streaming=true&supports_websocket=true&supports_yamux=true"


@pytest.mark.parametrize(
    ("named", "dialled"),
    [
        ("wss://g", f"wss://g/ws?agent_version=v1&cluster_uuid=u&{OURS}"),
        ("https://g", f"wss://g/ws?agent_version=v1&cluster_uuid=u&{OURS}"),
        ("wss://g/", f"wss://g/?agent_version=v1&cluster_uuid=u&{OURS}"),
        ("wss://g/p?k=v&cluster_uuid=x", f"wss://g/p?agent_version=v1&cluster_uuid=u&k=v&{OURS}"),
    ],
)
def test_the_url_is_dialled_as_the_go_agent_does(named: str, dialled: str) -> None:
    success = RegisterSuccess(cluster_id="c", cluster_uuid="u", gateway_ws_url=named)
    gateway = gateway_of(success, SECURE, "v1")
    assert gateway is not None
    assert gateway.url.websocket == dialled


def test_the_cluster_id_stands_in_for_a_missing_uuid() -> None:
    gateway = gateway_of(RegisterSuccess(cluster_id="c", gateway_ws_url="ws://g"), CLEAR, "v1")
    assert gateway is not None
    assert "cluster_uuid=c&" in gateway.url.websocket


def test_without_a_url_there_is_no_gateway() -> None:
    assert gateway_of(RegisterSuccess(cluster_id="c"), SECURE, "v1") is None
    assert gateway_of(RegisterSuccess(cluster_id="c", gateway_ws_url=""), SECURE, "v1") is None


@pytest.mark.parametrize("named", ["ws://g/ws", "http://g", "ftp://g", "wss://", "nonsense"])
def test_no_gateway_weakens_the_control_planes_own_security(named: str) -> None:
    with pytest.raises(GatewayRefused):
        gateway_of(RegisterSuccess(cluster_id="c", gateway_ws_url=named), SECURE, "v1")
