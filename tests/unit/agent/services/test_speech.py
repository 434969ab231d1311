"""What a port speaks."""

import pytest

from pipeops.agent.services.speech import Speech, speech_of

PLAIN, TLS, H2C, H2 = Speech(), Speech(tls=True), Speech(http2=True), Speech(True, True)


@pytest.mark.parametrize(
    ("protocol", "name", "port", "expected"),
    [
        ("", "", 80, PLAIN),
        ("", "http", 443, PLAIN),
        ("", "https", 80, TLS),
        ("", "https-web", 80, TLS),
        ("", "httpsish", 80, PLAIN),
        ("", "websecure", 9000, TLS),
        ("", "", 443, TLS),
        ("", "web", 8443, TLS),
        ("", "grpc", 80, H2C),
        ("", "grpc-api", 443, H2C),
        ("", "h2c", 80, H2C),
        ("https", "http", 80, TLS),
        ("HTTPS", "", 80, TLS),
        ("http", "https", 443, PLAIN),
        ("kubernetes.io/h2c", "web", 80, H2C),
        ("kubernetes.io/ws", "", 80, PLAIN),
        ("kubernetes.io/wss", "", 80, TLS),
        ("grpc", "", 80, H2C),
        ("grpcs", "", 80, H2),
        ("example.com/own", "https", 80, TLS),
        ("example.com/own", "", 80, PLAIN),
    ],
)
def test_app_protocol_then_name_then_number(
    protocol: str, name: str, port: int, expected: Speech
) -> None:
    assert speech_of(protocol, name, port) == expected
