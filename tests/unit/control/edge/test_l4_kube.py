"""How raw streams to the API server are found to work, or not."""

import base64

import pytest

from pipeops.control.edge import l4_kube
from pipeops.runtime.tasks import TaskScope
from tests.support.turns import turns
from tests.unit.control.edge.fakes import answer
from tests.unit.control.edge.kube_bench import EXEC, Bench


async def test_the_ca_is_asked_for_as_the_user(scope: TaskScope) -> None:
    bench = Bench(scope, session=True)
    bench.ask()
    await turns(2)
    asked = bench.link.take()[-1]["payload"]
    assert asked["headers"]["Impersonate-User"] == ["ada"]


@pytest.mark.parametrize(
    "body", [b"not json", b'{"data": {}}', b'{"data": {"ca.crt": "rubbish"}}', b'{"data": 5}']
)
async def test_without_a_ca_upgrades_fail_with_the_reason_and_json_goes_on(
    scope: TaskScope, body: bytes
) -> None:
    bench = Bench(scope, session=True)
    _, client = bench.ask(EXEC)
    await turns(2)
    (sent,) = bench.link.take()
    payload = {"status": 200, "body": base64.b64encode(body).decode()}
    bench.lane.answers.on_answer(answer("proxy_response", payload, sent["request_id"]))
    await turns(3)
    assert client.ended.startswith("502 agent")
    bench.ask()
    assert [message["payload"]["path"] for message in bench.link.take()] == ["/api/v1/pods"]
    assert bench.ask(EXEC)[1].ended.startswith("502 agent")


async def test_a_failed_proof_is_tried_again_later(scope: TaskScope) -> None:
    bench = Bench(scope, session=True)
    bench.ask()
    await turns(2)
    fetching = bench.link.take()[-1]
    bench.lane.answers.on_answer(answer("proxy_error", {"error": "no"}, fetching["request_id"]))
    await turns(3)
    bench.now += l4_kube.PROVE_AGAIN + 1
    bench.ask()
    await turns(2)
    assert len(bench.link.take()) == 2
    bench.lane.answers.on_lost()
    await turns(2)
