"""How the values of `gateway_proxy` are written."""

import pytest

from pipeops.agent.ingress_settings import ServiceName, endpoint, service_name


def test_a_service() -> None:
    name = service_name(" traefik/my-traefik:8000 ")
    assert name == ServiceName("traefik", "my-traefik", 8000)
    assert str(name) == "traefik/my-traefik:8000"
    assert service_name("") is None


@pytest.mark.parametrize(
    "written", ["traefik:80", "a/b", "a/b:0", "a/b:65536", "A/b:80", "a/b/c:1", 80, True]
)
def test_what_is_no_service(written: object) -> None:
    with pytest.raises(ValueError, match="namespace/name:port"):
        service_name(written)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("203.0.113.45:443", "203.0.113.45:443"),
        (" LB.example.com:8443 ", "lb.example.com:8443"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("", ""),
    ],
)
def test_an_endpoint(written: str, value: str) -> None:
    assert endpoint(written) == value


@pytest.mark.parametrize(
    "written",
    ["lb.example.com", "https://lb.example.com:443", "lb:0", "lb:70000", ":443", "2001:db8::1:443", "[lb]:443", "[1.1.1.1]:443", "a b:443", "lb-:443"],
)  # fmt: skip
def test_what_is_no_endpoint(written: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        endpoint(written)
