"""Channel subprotocols as control planes see them."""

import pytest

from pipeops.agent.json_dialect import channels
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.protocol.websocket import BINARY, TEXT


@pytest.mark.parametrize("path", ["/api", "/api/v1/x", "/apis/apps", "/version", "/openapi/v3"])
def test_paths_of_the_api(path: str) -> None:
    channels.check_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "api", "/apifoo", "/metrics", "/", "/api/../x", "/api/./x", "/api/%2e", "/api/a\\b", "/api/a b", "/api\r\n"],
)  # fmt: skip
def test_other_paths_are_rejected(path: str) -> None:
    with pytest.raises(MessageRejected, match="must be a Kubernetes API path"):
        channels.check_path(path)


def test_offers_are_named_once_or_by_default() -> None:
    headers = [(b"Sec-WebSocket-Protocol", b"b, c")]
    assert channels.offered_protocols("/x", "a, b", headers) == ["a", "b", "c"]
    assert channels.offered_protocols("/api/v1/x/exec", "", []) == list(channels.DEFAULT_PROTOCOLS)
    assert channels.offered_protocols("/api/v1/x", "", []) == []


@pytest.mark.parametrize(
    ("name", "translated"),
    [
        ("channel.k8s.io", True),
        ("v4.channel.k8s.io", True),
        ("v4.base64.channel.k8s.io", True),
        ("SPDY/3.1+portforward.k8s.io", False),
        ("chat", False),
        ("", False),
    ],
)
def test_which_subprotocols_are_translated(name: str, translated: bool) -> None:
    assert channels.is_translated(name) is translated


def test_the_translation_is_the_references() -> None:
    assert channels.to_kube(TEXT, b"ls") == (BINARY, b"\0ls")
    assert channels.to_kube(BINARY, b"\4{}") == (BINARY, b"\4{}")
    assert channels.from_kube(BINARY, b"\1out") == (TEXT, b"out")
    assert channels.from_kube(BINARY, b"\3{}") == (TEXT, b"{}")
    assert channels.from_kube(BINARY, b"\4x") == (BINARY, b"\4x")
    assert channels.from_kube(BINARY, b"") == (BINARY, b"")
    assert channels.from_kube(TEXT, b"1b3V0") == (TEXT, b"1b3V0")
