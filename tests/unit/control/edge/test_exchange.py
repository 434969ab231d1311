"""What a client's request says about itself."""

import pytest

from pipeops.control.edge.exchange import ClientRequest
from pipeops.http1.head import read_block


def request(target: bytes = b"/x", length: int | None = 0, lines: bytes = b"") -> ClientRequest:
    return ClientRequest(b"GET", target, 1, read_block(lines), length, b"0" * 32, "-")


@pytest.mark.parametrize(("length", "body"), [(0, False), (1, True), (None, True)])
def test_a_body_is_to_come_unless_its_length_is_known_to_be_nothing(
    length: int | None, body: bool
) -> None:
    assert request(length=length).has_body is body


@pytest.mark.parametrize(
    ("target", "lines", "discovery"),
    [
        (b"/k8s/a/api?timeout=32s", b"", True),
        (b"/k8s/a/apis", b"", True),
        (b"/k8s/a/x", b"Accept: application/json;as=APIGroupDiscoveryList\r\n", False),
        (b"/k8s/a/x", b"Accept: application/json;g=apidiscovery.k8s.io\r\n", True),
        (b"/k8s/a/api/v1/pods", b"Accept: application/json\r\n", False),
    ],
)
def test_discovery_is_told_from_other_requests(
    target: bytes, lines: bytes, discovery: bool
) -> None:
    assert request(target, lines=lines).is_discovery is discovery
