import random
from typing import Any

import msgspec
import pytest

from pipeops.kube.errors import AnswerTooLarge, Gone
from pipeops.kube.listing import Meta, pages
from tests.support.kubescript import Script, page, status


class Thing(msgspec.Struct, gc=False):
    metadata: Meta = msgspec.field(default_factory=Meta)


async def read(script: Script, **options: Any) -> list[tuple[bool, list[str]]]:
    async def no_sleep(_: float) -> None:
        pass

    listed = pages(script, "/things", Thing, rng=random.Random(1), sleep=no_sleep, **options)  # type: ignore[arg-type]
    return [
        (first, [each.metadata.name for each in found.items or []]) async for first, found in listed
    ]


async def test_pages_follow_the_continue_token() -> None:
    script = Script(page("ab", token="t/1"), page("c"))
    assert await read(script, limit=2, selector="a=b") == [(True, ["a", "b"]), (False, ["c"])]
    assert script.queries() == [
        {"limit": "2", "labelSelector": "a=b"},
        {"limit": "2", "labelSelector": "a=b", "continue": "t/1"},
    ]


async def test_no_version_is_asked_for() -> None:
    """With `resourceVersion=0` the API server ignores `limit` and answers with everything at once."""
    script = Script(page(""))
    await read(script)
    assert "resourceVersion" not in script.queries()[0]


async def test_an_empty_list_of_go_is_null() -> None:
    assert await read(Script({"metadata": {}, "items": None})) == [(True, [])]


async def test_a_lost_snapshot_begins_the_list_again() -> None:
    script = Script(page("a", token="t"), status(410), page("xy"))
    assert await read(script) == [(True, ["a"]), (True, ["x", "y"])]


async def test_snapshots_lost_for_ever_are_an_error() -> None:
    answers: list[Any] = []
    for _ in range(9):
        answers += [page("a", token="t"), status(410)]
    with pytest.raises(Gone):
        await read(Script(*answers))


async def test_a_page_that_is_too_large_is_asked_for_in_halves() -> None:
    script = Script(AnswerTooLarge("big"), AnswerTooLarge("big"), page("a"))
    assert await read(script, limit=4) == [(True, ["a"])]
    assert [query["limit"] for query in script.queries()] == ["4", "2", "1"]
    with pytest.raises(AnswerTooLarge):
        await read(Script(AnswerTooLarge("big")), limit=1)
