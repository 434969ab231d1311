import pytest

from pipeops.agent.gateway_settings import (
    Backend,
    IstioRoute,
    IstioServer,
    Listener,
    Route,
    gateway_problems,
    istio_problems,
    items,
    with_defaults,
)

routes, servers, istio_routes = (items(kind, "[…]") for kind in (Route, IstioServer, IstioRoute))


def test_camel_case_snake_case_and_any_case_are_the_same():
    expected = (Route("r", "tcp", (Backend("runner", "ns", 5000),)),)
    for section, backends in (
        ("sectionName", "backendRefs"),
        ("section_name", "backend_refs"),
        ("SECTIONNAME", "backendrefs"),
    ):
        backend = {"name": "runner", "namespace": "ns", "port": "5000"}
        assert routes([{"name": "r", section: "tcp", backends: [backend]}]) == expected
    text = '[{"name":"r","sectionName":"tcp","backendRefs":[{"name":"runner","namespace":"ns","port":5000}]}]'
    assert routes(text) == expected


def test_tls_keeps_its_spelling():
    (server,) = servers([{"port": {"number": 443}, "tls": {"credentialName": "c"}, "hosts": "a,b"}])
    assert server.tls == {"credentialName": "c"}
    assert server.hosts == ("a", "b")


def test_unknown_keys_and_nulls_do_not_matter():
    assert routes([{"name": "r", "colour": "red", "sectionName": None}]) == (Route("r"),)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "as JSON"),
        ({"name": "r"}, "a list such as"),
        (["r"], "expected a mapping with name, section_name"),
        ([{"backendRefs": [{"port": 70000}]}], "port must be a number from 0 to 65535"),
        ([{"backendRefs": [{"port": "x"}]}], "port must be a number"),
        ([{"backendRefs": 5}], "backend_refs must be a list"),
        ([{"name": ["x"]}], "name must be text"),
        ([{}] * 1001, "a list such as"),
    ],
)
def test_wrong_shapes_say_what_was_expected(value, words):
    with pytest.raises(ValueError, match=words):
        routes(value)
    with pytest.raises(ValueError, match="tls must be a mapping"):
        servers([{"tls": "x"}])


def test_protocol_and_name_may_be_left_out():
    assert with_defaults([Listener(port=5000), Listener(protocol="udp")]) == (
        Listener("tcp-5000", 5000, "TCP"),
        Listener("udp-listener", 0, "UDP"),
    )


def test_a_gateway_that_can_be_made_has_no_problems():
    listeners = [Listener("t", 5000), Listener("u", 5000, "UDP")]
    backend = (Backend("b", "ns", 1),)
    assert not list(
        gateway_problems(listeners, [Route("a", "t", backend)], [Route("b", "u", backend)])
    )


def test_every_gateway_rule_is_told():
    told = " ".join(
        gateway_problems(
            [Listener("a", 1), Listener("a", 0, "SCTP")],
            [Route("", "nope", (Backend("", "", 0),))],
            [Route("u", "a")],
        )
    )
    for words in (
        "'a' is used twice",
        "protocol must be TCP or UDP",
        "a port is required",
        "a TCP route has no name",
        "names no TCP listener",
        "names no UDP listener",
        "each backend needs name and port",
        "at least one backend",
    ):
        assert words in told
    assert list(gateway_problems([], [], [])) == ["at least one Gateway API listener is required"]


def test_istio_rules():
    good = istio_routes([{"name": "a", "port": 1, "destination": {"host": "h", "port": 2}}])
    assert not list(istio_problems(servers([{"port": {"number": 1, "name": "x"}}]), good, []))
    told = " ".join(
        istio_problems([IstioServer()], [IstioRoute("t")], istio_routes([{"name": "s"}]))
    )
    assert "needs port.number" in told
    assert "a port is required" in told
    assert "destination needs host and port" in told
    assert "SNI host" in told
    (problem,) = istio_problems(
        servers([{"port": {"number": 1, "name": "x", "protocol": "UDP"}}]), [], []
    )
    assert "TCP or TLS" in problem
