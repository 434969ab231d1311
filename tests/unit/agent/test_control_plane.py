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
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"),
            None,
            "does not speak TLS on this port",
        ),
        (
            ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert"),
            None,
            "wants a client certificate that it trusts: check pipeops.tls.cert_file",
        ),
        (
            HandshakeRefused(
                400, {}, b"<html><head><title>400 No required SSL certificate was sent</title>", "x"
            ),
            None,
            "answered 400: 400 No required SSL certificate was sent; it wants a client certificate",
        ),
        (
            HandshakeRefused(
                400, {}, b"<title>400 The plain HTTP request was sent to HTTPS port</title>", "x"
            ),
            None,
            "the URL must begin with https://",
        ),
        (
            ConnectionRefusedError(111, "x"),
            "http://u:secret@p:3128",
            "the proxy http://p:3128 cannot be reached: Connection refused; it is set by HTTPS_PROXY",
        ),
        (
            ConnectionResetError(104, "x"),
            "http://u:secret@p:3128",
            "the control plane at https://control.example.com (through the proxy http://p:3128)",
        ),
    ],
)
def test_each_failure_is_named(error: Exception, proxy: str | None, words: str) -> None:
    explained = explain(error, URL, proxy)
    assert words in str(explained)
    assert explained.retryable
    assert "secret" not in str(explained)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            b'{"kind":"Status","message":"the token is revoked; ask"}',
            "(401): the token is revoked; ask;",
        ),
        (
            b"<html><TITLE>\n401 Authorization\n Required</TITLE>",
            "(401): 401 Authorization Required;",
        ),
        (b'{"kind": ', '(401): {"kind":;'),
        (b"\x00\x01", "(401);"),
        (b"x" * 1000, "(401): " + "x" * 400 + ";"),
    ],
)
def test_of_an_answer_only_what_a_person_can_use_is_shown(body: bytes, shown: str) -> None:
    assert shown in str(explain(HandshakeRefused(401, {}, body, "x"), URL, None))


def test_retry_after_is_honoured_within_reason() -> None:
    assert (
        explain(HandshakeRefused(503, {"Retry-After": "7"}, b"", "x"), URL, None).retry_after == 7
    )
    assert (
        explain(HandshakeRefused(503, {"Retry-After": "99999"}, b"", "x"), URL, None).retry_after
        == 300
    )


@pytest.mark.parametrize(
    ("why", "helps"),
    [
        ("self-signed certificate", "ca_file"),
        ("certificate has expired", "must be renewed"),
        ("certificate is not yet valid", "clock"),
        ("Hostname mismatch, certificate is not valid for 'h'.", "pipeops.api_url"),
    ],
)
def test_an_untrusted_certificate_says_what_helps(why: str, helps: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = why
    text = str(explain(error, URL, None))
    assert why in text
    assert helps in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('h', 1)"), "Connection refused"),
        (
            ConnectionResetError(),
            (
                "the connection was closed before the tunnel was up; is this the control plane's URL and port, "
                "or does it want a client certificate (pipeops.tls.cert_file)?"
            ),
        ),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    ],
)
def test_why_there_is_no_connection_is_said_in_the_systems_words(
    error: OSError, words: str
) -> None:
    assert str(explain(error, URL, None)).endswith(f"cannot be reached: {words}")
