"""What listens in a pod."""

import pytest

from pipeops.sim.pods import network
from pipeops.sim.streaming.pipes import Pipe

POD = {
    "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1",
                 "annotations": {"test.pipeops.io/ports": "9=1"}},
    "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 5432},
                                                   {"containerPort": 7777, "name": "http-admin"}]}]},
}  # fmt: skip


async def talk(port: int, data: bytes) -> bytes:
    source, sink = Pipe(1 << 20), Pipe(1 << 20)
    await source.put(data)
    source.finish()
    await network.connect(POD, port, source, sink)
    sink.finish()
    return await sink.read(1 << 20)


async def test_http_ports_show_the_pods_page_as_often_as_asked() -> None:
    answer = await talk(80, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b"Hello from pod web-1 in namespace shop, port 80." in answer


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"GET /no", b"404"), (b"HEAD /", b"200"), (b"POST /", b"405"), (b"GET /healthz", b"200")],
)
async def test_http_answers_as_it_should(head: bytes, status: bytes) -> None:
    answer = await talk(7777, head + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)


async def test_nonsense_gets_400_and_an_early_end_nothing() -> None:
    assert (await talk(80, b"\x00\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert await talk(80, b"") == b""


async def test_other_ports_echo() -> None:
    assert await talk(5432, b"data") == b"data"
    assert await talk(9, b"data") == b"data<end>"


async def test_a_closed_port_is_refused_as_by_a_kubelet() -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        await talk(81, b"")
    text = str(caught.value)
    assert text.startswith("error forwarding port 81 to pod ")
    assert "dial tcp4 127.0.0.1:81: connect: connection refused" in text
