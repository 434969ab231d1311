"""The list-and-watch loop against a scripted server: what is asked again, what is waited for, what is said once."""

import asyncio
import random
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from pipeops.kube.cache import Cache
from pipeops.kube.errors import KubeUnreachable
from pipeops.kube.listing import Meta
from pipeops.kube.reflector import Reflector
from tests.support.kubescript import Script, event, page, status

GONE = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}


class Thing(msgspec.Struct, gc=False):
    metadata: Meta = msgspec.field(default_factory=Meta)


class Bench:
    """Runs until the script is used up; every pause is noted and none is made."""

    def __init__(self, *answers: Any) -> None:
        self.script = Script(*answers)
        self.cache: Cache[Thing] = Cache()
        self.pauses: list[float] = []
        self.reflector = Reflector(
            self.script,  # type: ignore[arg-type]
            "/things",
            Thing,
            self.cache,
            rng=random.Random(1),
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def run(self) -> "Bench":
        with pytest.raises(IndexError):  # the script is used up
            await self.reflector.run()
        return self

    def names(self) -> str:
        return "".join(sorted(each.metadata.name for each in self.cache))

    def asked(self) -> list[str]:
        """L: list, W7: watch from 7, C7: check of version 7."""
        shown = []
        for (method, _, _), query in zip(self.script.asked, self.script.queries(), strict=True):
            version = query.get("resourceVersion", "")
            shown.append(f"W{version}" if method == "WATCH" else f"C{version}" if version else "L")
        return shown


async def test_it_lists_once_and_resumes_each_watch_where_the_last_ended() -> None:
    bench = await Bench(
        page("ab"), [event("DELETED", "a", "11")], [event("ADDED", "c", "12")]
    ).run()
    assert bench.asked() == ["L", "W10", "W11", "W12"]
    assert bench.names() == "bc"
    assert bench.reflector.synced.is_set()
    assert bench.reflector.problem is None


async def test_a_bookmark_moves_the_version_on() -> None:
    bench = await Bench(page("a"), [event("BOOKMARK", "", "99")]).run()
    assert bench.asked() == ["L", "W10", "W99"]
    assert bench.names() == "a"


async def test_gone_lists_again_after_a_pause_and_is_no_news() -> None:
    with capture_logs() as logs:
        bench = await Bench(page("a"), [GONE], page("b", version="50"), []).run()
    assert bench.asked()[:4] == ["L", "W10", "L", "W50"]
    assert bench.names() == "b"
    assert 0 < bench.pauses[0] <= 1
    assert not [each for each in logs if each["log_level"] == "warning"]


async def test_gone_at_every_watch_is_listed_ever_more_seldom() -> None:
    answers: list[Any] = []
    for _ in range(8):
        answers += [page("a"), [GONE]]
    bench = await Bench(*answers).run()
    assert bench.pauses[-1] > 10


async def test_a_lost_connection_checks_the_version_and_goes_on_without_a_list() -> None:
    bench = await Bench(
        page("a"), [event("ADDED", "b", "11"), KubeUnreachable("cut")], page(""), []
    ).run()
    assert bench.asked()[:4] == ["L", "W10", "C11", "W11"]
    assert bench.reflector.relists == 1


async def test_a_version_that_a_restored_server_never_had_lists_again() -> None:
    late = status(504, "Timeout: Too large resource version: 11, current: 3")
    bench = await Bench(page("a"), [KubeUnreachable("cut")], late, page("z", version="3"), []).run()
    assert bench.asked()[:5] == ["L", "W10", "C10", "L", "W3"]
    assert bench.names() == "z"


async def test_trouble_is_said_once_and_so_is_its_end() -> None:
    cut = KubeUnreachable("connection refused")
    with capture_logs() as logs:
        await Bench(cut, cut, cut, page("a"), [event("ADDED", "b", "11")]).run()
    words = [each["event"] for each in logs]
    assert words == [
        "cannot follow the cluster's objects",
        "following the cluster's objects again",
    ]


async def test_what_is_forbidden_is_asked_for_seldom_and_keeps_what_is_known() -> None:
    bench = Bench(page("a"), status(403), page("ab"), [event("ADDED", "c", "11")])
    await bench.run()
    assert bench.asked()[:3] == ["L", "W10", "L"]
    assert bench.pauses[0] > 90
    assert bench.names() == "abc"


@pytest.mark.parametrize(("code", "advised"), [(401, True), (403, True), (404, True), (500, False)])
async def test_a_refusal_is_logged_with_what_helps(code: int, advised: bool) -> None:
    bench = Bench(status(code), page("a"), [event("ADDED", "b", "11")])
    bench.reflector._advice = "apply the role"
    with capture_logs() as logs:
        await bench.run()
    assert (logs[0].get("advice") == "apply the role") is advised


async def test_watches_that_end_at_once_are_not_asked_for_without_a_pause() -> None:
    bench = await Bench(page(""), [], page(""), [], page(""), []).run()
    assert bench.asked() == ["L", "W10", "C10", "W10", "C10", "W10", "C10"]
    assert len(bench.pauses) == 3
    assert bench.pauses[-1] > bench.pauses[0]


async def test_the_server_may_say_how_long_to_wait() -> None:
    busy = status(429)
    busy.retry_after = 17.0  # type: ignore[attr-defined]
    bench = await Bench(busy, page("a"), []).run()
    assert bench.pauses[0] == 17.0
