"""The control plane's URL, and errors that say what failed and what to do."""

import socket
import ssl

import pytest

from pipeops.agent.control_plane import ControlPlaneUrl, RegistrationRefused, explain
from pipeops.tunnel.websocket import HandshakeRefused

URL = ControlPlaneUrl.parse("https://control.example.com")


@pytest.mark.parametrize(
    ("url", "dialled", "secure"),
    [
        ("https://h", "wss://h/api/v1/clusters/agent/ws", True),
        ("http://h:1/base?x=1", "ws://h:1/api/v1/clusters/agent/ws?x=1", False),
        ("wss://h/", "wss://h/api/v1/clusters/agent/ws", True),
        ("ws://h", "ws://h/api/v1/clusters/agent/ws", False),
        ("https://[fd00::1]:8443", "wss://[fd00::1]:8443/api/v1/clusters/agent/ws", True),
    ],
)
def test_the_scheme_is_kept_and_the_path_replaced(url: str, dialled: str, secure: bool) -> None:
    parsed = ControlPlaneUrl.parse(url)
    assert (parsed.websocket, parsed.secure) == (dialled, secure)


@pytest.mark.parametrize("url", ["", "control.example.com", "ftp://h", "https://"])
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL like"):
        ControlPlaneUrl.parse(url)


def test_loopback_is_recognised() -> None:
    assert ControlPlaneUrl.parse("http://127.0.0.1:1").is_loopback
    assert not URL.is_loopback


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_permanent_and_says_how_to_get_another(status: int) -> None:
    error = explain(HandshakeRefused(status, {}, b"token revoked", "x"), URL, None)
    assert isinstance(error, RegistrationRefused)
    assert not error.retryable
    assert "token revoked" in str(error)
    assert "pipeops" in str(error)


@pytest.mark.parametrize(
    ("error", "proxy", "words"),
    [
        (HandshakeRefused(404, {}, b"", "x"), None, "no agent endpoint (404)"),
        (HandshakeRefused(503, {"Retry-After": "7"}, b"busy", "x"), None, "answered 503"),
        (HandshakeRefused(0, {}, b"", "no HTTP"), None, "does not speak WebSocket"),
        (
            HandshakeRefused(0, {}, b"", "407"),
            "http://u:secret@p:3128",
            "the proxy http://p:3128 did not open",
        ),
        (TimeoutError(), None, "did not answer in time"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            None,
            "cannot be reached: Connection refused",
        ),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"), None, "does it speak TLS"),
    ],
)
def test_each_failure_is_named(error: Exception, proxy: str | None, words: str) -> None:
    explained = explain(error, URL, proxy)
    assert words in str(explained)
    assert explained.retryable
    assert "secret" not in str(explained)


def test_retry_after_is_honoured_within_reason() -> None:
    assert (
        explain(HandshakeRefused(503, {"Retry-After": "7"}, b"", "x"), URL, None).retry_after == 7
    )
    assert (
        explain(HandshakeRefused(503, {"Retry-After": "99999"}, b"", "x"), URL, None).retry_after
        == 300
    )


def test_an_untrusted_certificate_says_which_setting_helps() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    text = str(explain(error, URL, None))
    assert "self-signed certificate" in text
    assert "ca_file" in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('h', 1)"), "Connection refused"),
        (
            ConnectionResetError(),
            "the connection was closed before the tunnel was up; is this the control plane's URL and port?",
        ),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    ],
)
def test_why_there_is_no_connection_is_said_in_the_systems_words(
    error: OSError, words: str
) -> None:
    assert str(explain(error, URL, None)).endswith(f"cannot be reached: {words}")
