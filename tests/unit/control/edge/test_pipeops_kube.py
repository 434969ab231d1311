"""Which way a request goes to an agent of the PipeOps dialect."""

from pipeops.protocol.exchange.principal import Principal
from pipeops.runtime.tasks import TaskScope
from tests.unit.control.edge.kube_bench import EXEC, GET, Bench
from tests.unit.control.edge.l4.tls_server import Certificates


async def test_without_a_credential_nobody_is_served(scope: TaskScope) -> None:
    exchange, client = Bench(scope, session=True, credential=None).ask()
    assert exchange is None
    assert client.ended.startswith("503 control-plane")


async def test_system_names_are_refused(scope: TaskScope) -> None:
    bench = Bench(scope, session=True)
    exchange, client = bench.ask(principal=Principal("system:admin"))
    assert exchange is None
    assert client.ended.startswith("403 ")
    assert bench.link.take() == []


async def test_a_lost_lane_is_said(scope: TaskScope) -> None:
    bench = Bench(scope, session=True)
    bench.lane.instance.lanes.clear()
    assert bench.ask()[1].ended.startswith("503 tunnel")


async def test_without_multiplexing_everything_plain_is_json(scope: TaskScope) -> None:
    bench = Bench(scope, session=False)
    bench.ask()
    assert [message["type"] for message in bench.link.take()] == ["proxy_request"]
    assert bench.ask(EXEC)[1].ended.startswith("501 ")


async def test_json_until_raw_streams_are_proved_then_raw_streams(
    scope: TaskScope,
    certificates: Certificates,
) -> None:
    bench = Bench(scope, session=True)
    bench.ask()
    server = await bench.proved(certificates)
    bench.link.take()
    bench.ask(GET + b"Accept: x\r\n")
    assert bench.link.take() == []
    assert server.turn() == (
        b"GET /api/v1/pods HTTP/1.1\r\nHost: kubernetes.default.svc\r\naccept: x\r\n"
        b"Authorization: Bearer sa\r\nImpersonate-User: ada\r\nImpersonate-Group: pipeops:admins\r\n"
        b"Impersonate-Extra-scopes: x\r\nAudit-Id: " + b"0a" * 16 + b"\r\n\r\n"
    )


async def test_an_upgrade_waits_for_the_proof(
    scope: TaskScope,
    certificates: Certificates,
) -> None:
    bench = Bench(scope, session=True)
    exchange, client = bench.ask(EXEC)
    assert exchange is not None
    server = await bench.proved(certificates)
    assert b"Upgrade: websocket\r\n" in server.turn()
    assert client.ended == ""


async def test_a_client_that_left_meanwhile_starts_nothing(
    scope: TaskScope,
    certificates: Certificates,
) -> None:
    bench = Bench(scope, session=True)
    exchange, _ = bench.ask(EXEC)
    exchange.on_client_gone()
    server = await bench.proved(certificates)
    assert server.turn() == b""
