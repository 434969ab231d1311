"""A route with TLS gets its certificate by itself: ordered, proven on the gateway's own HTTP port, shown on the other."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.pebble import Pebble
from tests.support.processes import free_port, wait_until
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.go]

HOST = "shop.example.com"


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"http": free_port(), "https": free_port()}


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Pebble]:
    server = Pebble(tmp_path_factory.mktemp("pebble"), ports["http"])
    yield server
    server.close()


@pytest.fixture
def stack(tmp_path: Path, pebble: Pebble, ports: dict[str, int]) -> Iterator[Stack]:
    arguments = (
        "--route-hosts", "first-come", "--public-http", f"127.0.0.1:{ports['http']}", "--public-https", f"127.0.0.1:{ports['https']}",
        "--acme-directory", pebble.directory_url, "--acme-ca-file", str(pebble.ca_file), "--acme-accept-terms",
        "--log-level", "debug",
    )  # fmt: skip
    with Stack(tmp_path, control_args=arguments) as running:
        yield running


def shown(port: int, name: str) -> bytes | None:
    """The certificate that a handshake for a name gets, DER; None if it gets none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the authority of this test has no root that lasts
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            return tls.getpeercert(binary_form=True)
    except (ssl.SSLError, ConnectionError):
        return None


def test_a_route_with_tls_is_served_under_its_own_certificate(
    stack: Stack, ports: dict[str, int]
) -> None:
    token = stack.add_cluster("edge").read_text().strip()
    assert shown(ports["https"], HOST) is None, "nobody's certificate is shown for another name"
    body = {
        "hostname": HOST, "cluster_uuid": "", "namespace": "apps", "service_name": "web", "service_port": 80,
        "ingress_name": "web", "path": "/", "path_type": "Prefix", "tls": True,
    }  # fmt: skip
    status, answer = stack.request("POST", "/api/v1/gateway/routes/register", body, token=token)
    assert status == 200, answer
    assert stack.control is not None
    # Long before the next look at what is due: the new route itself is what starts the order.
    wait_until(
        lambda: "certificate ordered" in stack.log("control").read_text(),
        "an order",
        timeout=8,
        children=[stack.control],
    )
    wait_until(
        lambda: shown(ports["https"], HOST) is not None,
        "a certificate",
        timeout=60,
        children=[stack.control],
    )
    certificate = x509.load_der_x509_certificate(shown(ports["https"], HOST) or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    plain = http.client.HTTPConnection("127.0.0.1", ports["http"], timeout=10)
    plain.request("GET", "/.well-known/acme-challenge/of-nobody", headers={"Host": HOST})
    # Only challenges that are under way are ours; others are the application's, which is offline.
    assert plain.getresponse().status == 503
    plain.close()
