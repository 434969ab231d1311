"""What is read of Services and EndpointSlices."""

import msgspec
import pytest

from pipeops.agent.services.objects import (
    EndpointSliceList,
    ServiceObject,
    addresses_of,
    service_path,
    slices_path,
)

SERVICE = b"""{"kind":"Service","metadata":{"name":"web","annotations":{"pipeops.io/verify-tls":"False"}},
"spec":{"type":"ClusterIP","clusterIPs":["10.0.0.9"],"selector":{"app":"web"},"ports":[
{"name":"dns","port":53,"protocol":"UDP","targetPort":53},
{"name":"https","port":443,"protocol":"TCP","appProtocol":"kubernetes.io/wss","targetPort":"web"}]}}"""


def slices(*items: object) -> EndpointSliceList:
    return msgspec.convert({"items": list(items)}, EndpointSliceList)


def piece(
    port: int | None, *endpoints: object, name: str | None = "web", kind: str = "IPv4"
) -> object:
    return {
        "addressType": kind,
        "endpoints": list(endpoints),
        "ports": [{"name": name, "port": port}],
    }


def endpoint(*addresses: str, ready: bool | None = True, serving: bool | None = None) -> object:
    return {"addresses": list(addresses), "conditions": {"ready": ready, "serving": serving}}


def test_a_service_as_the_api_server_writes_it() -> None:
    service = msgspec.json.decode(SERVICE, type=ServiceObject)
    port = service.port(443)
    assert port is not None
    assert (port.name, port.app_protocol) == ("https", "kubernetes.io/wss")
    assert service.port(53) is None
    assert service.spec.cluster_ips == ["10.0.0.9"]
    assert not service.verify_tls
    assert ServiceObject().verify_tls


def test_ready_endpoints_at_the_port_of_that_name() -> None:
    found = addresses_of(
        slices(
            piece(8080, endpoint("10.1.0.1", "10.9.9.9"), endpoint("10.1.0.2", ready=None)),
            piece(8081, endpoint("10.1.0.3")),
            piece(9090, endpoint("10.1.0.4"), name="metrics"),
            piece(8080, endpoint("10.1.0.5", ready=False)),
            piece(8080, endpoint("name.example"), kind="FQDN"),
            piece(8080, endpoint()),
            piece(None, endpoint("10.1.0.6")),
        ),
        "web",
    )
    assert found == [("10.1.0.1", 8080), ("10.1.0.2", 8080), ("10.1.0.3", 8081)]


def test_those_that_still_serve_are_better_than_none() -> None:
    leaving = endpoint("10.1.0.1", ready=False, serving=True)
    assert addresses_of(slices(piece(80, leaving)), "web") == [("10.1.0.1", 80)]
    assert addresses_of(slices(piece(80, leaving, endpoint("10.1.0.2"))), "web") == [
        ("10.1.0.2", 80)
    ]


@pytest.mark.parametrize("name", ["", None])
def test_a_port_without_a_name(name: str | None) -> None:
    assert addresses_of(slices(piece(80, endpoint("10.1.0.1"), name=name)), "")


def test_nothing_there() -> None:
    assert addresses_of(msgspec.json.decode(b'{"items":null}', type=EndpointSliceList), "") == []
    empty = {"addressType": "IPv4", "endpoints": None, "ports": None}
    assert addresses_of(slices(empty), "") == []


def test_paths() -> None:
    assert service_path("shop", "web") == "/api/v1/namespaces/shop/services/web"
    assert slices_path("shop", "web") == (
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
        "?labelSelector=kubernetes.io%2Fservice-name%3Dweb&limit=10"
    )
