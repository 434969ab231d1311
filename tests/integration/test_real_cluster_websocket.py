"""The channel protocols spoken raw, through the real API server: what client libraries other than kubectl rely on."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from tests.support.apiserver import ApiServer
from tests.support.kubectl_flows import create_pod, echo_server
from tests.support.websocket_client import UpgradeRefusedError, WebSocketClient

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

Dial = Callable[..., WebSocketClient]


@pytest.fixture(params=["node-1", "node-2"])
def node(request: pytest.FixtureRequest) -> str:
    """`node-1`: the API server translates v5 to SPDY; `node-2`: it hands everything through."""
    return str(request.param)


@pytest.fixture
def dial(apiserver: ApiServer, namespace: str) -> Iterator[Dial]:
    """Opens `pods/p1/<subresource>` with protocols and query."""
    token = _admin_token(apiserver, namespace)
    opened: list[WebSocketClient] = []

    def connect(
        subresource: str, protocols: list[str], query: list[tuple[str, str]]
    ) -> WebSocketClient:
        path = f"/api/v1/namespaces/{namespace}/pods/p1/{subresource}?{urlencode(query)}"
        client = WebSocketClient(apiserver.url + path, apiserver.ca_file, protocols, token=token)
        opened.append(client)
        return client

    yield connect
    for each in opened:
        each.close()


def _admin_token(apiserver: ApiServer, namespace: str) -> str:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "streams"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
    apiserver.admin.post(path, binding)
    return apiserver.service_account_token(namespace, "default")


def _start(apiserver: ApiServer, namespace: str, node: str, **annotations: str) -> None:
    create_pod(apiserver.kubectl_client().within(namespace), "p1", node=node, **annotations)


def _exec(*command: str, stdin: bool = False) -> list[tuple[str, str]]:
    query = [("command", part) for part in command] + [("stdout", "1"), ("stderr", "1")]
    return [*query, ("stdin", "1")] if stdin else query


def test_v5_half_closes_stdin(apiserver: ApiServer, namespace: str, node: str, dial: Dial) -> None:
    _start(apiserver, namespace, node)
    command = _exec("sh", "-c", "sha256sum; echo E >&2; exit 5", stdin=True)
    client = dial("exec", ["v5.channel.k8s.io"], command)
    assert client.protocol == "v5.channel.k8s.io"
    client.send(b"\x00" + b"hello\n")
    client.send(bytes([255, 0]))
    channels = client.receive_channels()
    assert channels[1].startswith(
        b"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    )
    assert channels[2] == b"E\n"
    status = json.loads(channels[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "5"}]


def test_v4_carries_input_but_cannot_end_it(
    apiserver: ApiServer, namespace: str, node: str, dial: Dial
) -> None:
    _start(apiserver, namespace, node)
    client = dial("exec", ["v4.channel.k8s.io"], _exec("head", "-n1", stdin=True))
    assert client.protocol == "v4.channel.k8s.io"
    client.send(bytes([255, 0]))  # means nothing here
    client.send(b"\x00line\n")
    channels = client.receive_channels()
    assert channels[1] == b"line\n"
    assert json.loads(channels[3])["status"] == "Success"


def test_base64_channels(apiserver: ApiServer, namespace: str, node: str, dial: Dial) -> None:
    _start(apiserver, namespace, node)
    client = dial("exec", ["base64.channel.k8s.io"], _exec("echo", "text"))
    channels = client.receive_channels()
    assert base64.b64decode(channels[ord("1")]) == b"text\n"


def test_the_first_known_protocol_wins(
    apiserver: ApiServer, namespace: str, node: str, dial: Dial
) -> None:
    _start(apiserver, namespace, node)
    offered = ["v9.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"]
    assert dial("exec", offered, _exec("true")).protocol == "v4.channel.k8s.io"


def test_port_forward_with_numbered_channels(
    apiserver: ApiServer, namespace: str, node: str, dial: Dial
) -> None:
    with echo_server() as echo:
        _start(apiserver, namespace, node, ports=f"80={echo}")
        client = dial("portforward", ["v4.channel.k8s.io"], [("ports", "80")])
        assert client.protocol == "v4.channel.k8s.io"
        greetings = {client.receive(), client.receive()}
        assert greetings == {bytes([number]) + struct.pack("<H", 80) for number in (0, 1)}
        client.send(b"\x00ping")
        assert client.receive() == b"\x00ping"


def test_exec_needs_the_create_permission(apiserver: ApiServer, namespace: str, node: str) -> None:
    _start(apiserver, namespace, node)
    token = apiserver.service_account_token("pipeops-system", "pipeops-agent")
    url = f"{apiserver.url}/api/v1/namespaces/{namespace}/pods/p1/exec?{urlencode(_exec('true'))}"
    with pytest.raises(UpgradeRefusedError) as refused:
        WebSocketClient(url, apiserver.ca_file, ["v5.channel.k8s.io"], token=token)
    assert refused.value.status == 403
