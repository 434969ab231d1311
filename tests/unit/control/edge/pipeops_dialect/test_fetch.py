"""The control plane's own request."""

import asyncio
import base64

import pytest

from pipeops.control.edge.pipeops_dialect.fetch import FetchFailed, fetch
from tests.support.turns import turns
from tests.unit.control.edge.fakes import FakeLink, answer, json_lane


async def start(within: float = 5.0):
    requests = json_lane(FakeLink())
    task = asyncio.get_running_loop().create_task(
        fetch(requests, b"/x", [(b"Authorization", b"Bearer t")], "f1", within=within)
    )
    await turns(2)
    return requests, task


async def test_an_answer_is_put_together() -> None:
    requests, task = await start()
    for kind, payload in (
        ("proxy_response_header", {"status": 200}),
        ("proxy_response_chunk", {"data": base64.b64encode(b"ab").decode()}),
        ("proxy_response_chunk", {"data": base64.b64encode(b"c").decode()}),
        ("proxy_response_end", {}),
    ):
        requests.on_answer(answer(kind, payload, "f1"))
    assert await task == (200, b"abc")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("proxy_error", {"error": "no"}),
        ("proxy_response_end", {}),
        ("proxy_response_chunk", {"data": "*"}),
        ("proxy_response_chunk", {"data": base64.b64encode(bytes(1 << 20) + b"x").decode()}),
    ],
)
async def test_everything_else_fails(kind: str, payload: dict[str, str]) -> None:
    requests, task = await start()
    requests.on_answer(answer(kind, payload, "f1"))
    with pytest.raises(FetchFailed):
        await task


async def test_a_lost_tunnel_fails() -> None:
    requests, task = await start()
    requests.on_lost()
    with pytest.raises(FetchFailed, match="lost"):
        await task


async def test_silence_fails() -> None:
    _, task = await start(within=0.0)
    with pytest.raises(FetchFailed, match="no answer"):
        await task
