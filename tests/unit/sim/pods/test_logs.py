"""What containers have written."""

import asyncio

import pytest

from pipeops.sim.pods.files import Quota
from pipeops.sim.pods.instances import PodInstance
from pipeops.sim.pods.logs import RETAINED, ContainerLog, LogQuery, read_log

START = 1_700_000_000


def pod(image: str = "example/app", status: dict | None = None, **annotations: str) -> dict:
    return {
        "metadata": {
            "name": "p1", "namespace": "ns", "uid": "u", "creationTimestamp": "2023-11-14T22:13:20Z",
            "annotations": {"test.pipeops.io/" + k.replace("_", "-"): v for k, v in annotations.items()},
        },
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": status or {"phase": "Running"},
    }  # fmt: skip


async def read(obj: dict, later: float, **query) -> list[bytes]:
    log = ContainerLog(obj, obj["spec"]["containers"][0])
    instance = PodInstance(obj, lambda: 0.0, Quota(1 << 20))
    chunks = read_log(instance, log, LogQuery(**query), START + later)
    return b"".join([chunk async for chunk in chunks]).splitlines(keepends=True)


async def test_history_is_the_same_whenever_asked_and_grows() -> None:
    early, late = await read(pod(), 10), await read(pod(), 20)
    assert late[: len(early)] == early
    assert len(late) == len(early) + 10


@pytest.mark.parametrize(("image", "word"), [("nginx:1", b"GET /"), ("example/app", b" INFO ")])
async def test_lines_look_like_those_of_the_image(image: str, word: bytes) -> None:
    assert word in b"".join(await read(pod(image), 60))


async def test_options_choose_lines() -> None:
    whole = await read(pod(), 100)
    assert await read(pod(), 100, tail=3) == whole[-3:]
    assert await read(pod(), 100, tail=0) == []
    assert b"".join(await read(pod(), 100, limit=50)) == b"".join(whole)[:50]
    recent = await read(pod(), 100, since=START + 90)
    assert recent == whole[-len(recent) :]
    assert 8 <= len(recent) <= 12
    assert (await read(pod(), 100, tail=1, timestamps=True))[0].split(b" ", 1)[1] == whole[-1]


async def test_old_lines_are_gone() -> None:
    assert len(await read(pod(), 1_000_000)) == RETAINED


async def test_annotations_shape_the_lines() -> None:
    lines = await read(pod(log_history="2", log_interval="0.5", log_width="3"), 1.1)
    assert lines == [b"ns/p1/main line %d xxx\n" % number for number in range(4)]


async def test_an_ended_container_says_no_more() -> None:
    state = {
        "terminated": {"startedAt": "2023-11-14T22:13:20Z", "finishedAt": "2023-11-14T22:13:30Z"}
    }
    status = {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": state}]}
    assert len(await read(pod(status=status), 900, follow=True)) in range(12, 17)


async def test_following_ends_with_the_pod() -> None:
    obj = pod(log_interval="0.01")
    instance = PodInstance(obj, lambda: 0.0, Quota(1 << 20))
    log = ContainerLog(obj, obj["spec"]["containers"][0])
    seen = 0
    async with asyncio.timeout(10):
        async for chunk in read_log(instance, log, LogQuery(follow=True, tail=0), START + 5):
            seen += chunk.count(b"\n")
            if seen >= 3:
                instance.over.set()
    assert seen >= 3
