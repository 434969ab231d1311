"""Where forwards lead."""

from unittest.mock import Mock

import pytest

from pipeops.agent.forward_settings import ConfiguredForward
from pipeops.agent.forwards import NO_CONNECTION, NOT_TAKEN, ForwardTable, read_forwards
from pipeops.agent.targets import Endpoint, TargetRefused
from pipeops.protocol.messages.registration import ForwardGrant

API = Endpoint("10.0.0.1", 443)


async def lookup(host: str, port: int) -> list[str]:
    if host == "nowhere":
        raise OSError("Name or service not known")
    return ["10.9.9.9"]


def table(*forwards: ConfiguredForward, **environment: str) -> ForwardTable:
    return ForwardTable(
        read_forwards(forwards),
        kube_api=API,
        agent_port=lambda: 8081,
        environment=environment,
        lookup=lookup,
    )


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("localhost:6443", API),
        ("127.0.0.1:6443", API),
        ("localhost:10250", Endpoint("192.0.2.7", 10250)),
        ("localhost:8080", Endpoint("127.0.0.1", 8081)),
        ("localhost:5432", Endpoint("127.0.0.1", 5432)),
        ("postgres.databases:5432", Endpoint("10.9.9.9", 5432)),
        ("udp://localhost:6443", Endpoint("127.0.0.1", 6443)),
    ],
)
async def test_local_addresses_have_their_meaning(address: str, endpoint: Endpoint) -> None:
    made = table(ConfiguredForward("one", address), NODE_IP="192.0.2.7")
    assert await made.resolve("one") == endpoint


async def test_refusals_say_why() -> None:
    made = table(
        ConfiguredForward("kubelet", "localhost:10250"), ConfiguredForward("far", "nowhere:1")
    )
    with pytest.raises(TargetRefused, match="PIPEOPS_NODE_IP"):
        await made.resolve("kubelet")
    with pytest.raises(TargetRefused, match="cannot be resolved"):
        await made.resolve("far")
    with pytest.raises(TargetRefused, match="forwards nothing"):
        await made.resolve("other")


def test_what_is_offered() -> None:
    made = table(ConfiguredForward("dns", "udp://dns.apps:53", 15001))
    (offer,) = made.offers()
    assert (offer.name, offer.protocol, offer.remote_port) == ("dns", "udp", 15001)
    assert made.protocol("dns") == "udp"
    assert made.protocol("other") is None


@pytest.mark.parametrize(
    "forwards",
    [
        (ConfiguredForward("a", "localhost"),),
        (ConfiguredForward("", "localhost:1"),),
        (ConfiguredForward("a", "localhost:1"), ConfiguredForward("a", "localhost:2")),
    ],
)
def test_settings_that_cannot_be(forwards: tuple[ConfiguredForward, ...]) -> None:
    with pytest.raises(ValueError, match=r"tunnel\.forwards"):
        read_forwards(forwards)


async def test_under_a_policy_no_forward_leads_to_the_kubernetes_api() -> None:
    made = ForwardTable(
        read_forwards(
            [ConfiguredForward("api", "localhost:6443"), ConfiguredForward("db", "localhost:5432")]
        ),
        kube_api=API,
        agent_port=lambda: 8080,
        lookup=lookup,
        closed_kube_api="there is a policy",
    )
    with pytest.raises(TargetRefused, match="there is a policy"):
        await made.resolve("api")
    assert (await made.resolve("db")).port == 5432


def test_what_became_of_each_forward_is_shown_and_nothing_without_a_connection() -> None:
    made = table(
        ConfiguredForward("db", "localhost:5432"), ConfiguredForward("dns", "udp://localhost:53", 9)
    )
    grants = [ForwardGrant(name="db", remote_port=15003, status="listening")]
    first, second = made.shown(Mock(forward_grants=grants, connected=True))
    assert first == {
        "name": "db", "protocol": "tcp", "local_addr": "localhost:5432", "remote_port": 15003, "status": "listening",
    }  # fmt: skip
    assert (second["remote_port"], second["status"]) == (9, NOT_TAKEN)
    rows = made.shown(Mock(forward_grants=grants, connected=False))
    assert {row["status"] for row in rows} == {NO_CONNECTION}
