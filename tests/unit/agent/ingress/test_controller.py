"""Which Service is taken for the ingress controller's."""

from typing import Any

import pytest

from pipeops.agent.ingress.controller import WELL_KNOWN, controller_type, find, is_candidate
from pipeops.agent.ingress_settings import ServiceName
from tests.unit.agent.ingress.making import Known, service

BOTH = (("web", 8000), ("websecure", 8443))


def found(*services: Any, wanted: ServiceName | None = None) -> Any:
    known = Known(*services)
    keys = [key for key, each in known.items() if is_candidate(each, wanted)]
    return find(known, keys, wanted)


def test_well_known_names_in_their_order() -> None:
    services = [service(name, namespace, ports=BOTH) for namespace, name in WELL_KNOWN]
    for number, (namespace, name) in enumerate(WELL_KNOWN):
        target = found(*reversed(services[number:])).target
        assert (target.namespace, target.name, target.port) == (namespace, name, 8000)


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ((("http", 8080),), (8080, 0, 8080, 8080)),
        ((("x", 80), ("y", 443)), (80, 443, 80, 443)),
        ((("https", 8443),), (0, 8443, 8443, 8443)),
        ((("websecure", 443), ("web", 80)), (80, 443, 80, 443)),
        ((("a", 80), ("http", 8080)), (80, 0, 80, 80)),
    ],
)
def test_ports(ports: Any, expected: Any) -> None:
    it = found(service("traefik", "traefik", ports=ports))
    assert (it.http, it.https, it.target.port, it.public_port) == expected


def test_a_service_without_such_a_port_is_no_controller() -> None:
    assert found(service("traefik", "traefik", ports=(("metrics", 9100),))) is None
    assert found() is None


def test_labels_are_the_second_way() -> None:
    labels = {"app.kubernetes.io/name": "ingress-nginx"}
    one = service("my-nginx", "default", labels=labels)
    other = service("a", "shop", labels=labels)
    old = service("old", "kube-system", labels={"k8s-app": "traefik-ingress-lb"})
    assert found(other) is None
    assert found(one, other).target.name == "my-nginx"
    assert found(one, old).target.name == "old"
    assert found(one, service("traefik", "traefik")).target.name == "traefik"


def test_the_one_of_the_settings_is_the_only_one() -> None:
    wanted = ServiceName("edge", "gw", 8080)
    assert found(service("traefik", "traefik"), wanted=wanted) is None
    it = found(service("gw", "edge", ports=(("x", 8080), ("https", 8443))), wanted=wanted)
    assert (it.target, it.public_port) == (wanted, 8443)
    tls = ServiceName("edge", "gw", 8443)
    it = found(service("gw", "edge", ports=(("http", 80), ("https", 8443))), wanted=tls)
    assert (it.target, it.public_port) == (tls, 8443)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("traefik", "traefik"), ("rke2-ingress-nginx-controller", "nginx"), ("kong-proxy", "unknown")],
)
def test_types(name: str, kind: str) -> None:
    assert controller_type(name) == kind
