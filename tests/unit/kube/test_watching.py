from typing import Any

import msgspec
import pytest

from pipeops.kube.errors import Gone, KubeAnswerError, ServerUnavailable
from pipeops.kube.listing import Meta
from pipeops.kube.watching import Change, watch
from tests.support.kubescript import Script, event


class Thing(msgspec.Struct, gc=False):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: int = 0


async def read(*lines: Any) -> list[tuple[Change, str]]:
    events = watch(Script(lines), "/things", Thing, "7", seconds=300)  # type: ignore[arg-type]
    return [(change, item.metadata.resource_version) async for change, item in events]


async def test_changes_and_bookmarks_come_typed() -> None:
    found = await read(
        event("ADDED", "a", "8"),
        event("MODIFIED", "a", "9"),
        {"type": "BOOKMARK", "object": {"kind": "Thing", "metadata": {"resourceVersion": "20"}}},
        event("DELETED", "a", "21"),
    )
    assert found == [
        (Change.ADDED, "8"),
        (Change.MODIFIED, "9"),
        (Change.BOOKMARK, "20"),
        (Change.DELETED, "21"),
    ]


async def test_the_request_resumes_asks_for_bookmarks_and_ends_by_itself() -> None:
    script = Script([])
    events = watch(script, "/things", Thing, "7", seconds=301.4, selector="a=b")  # type: ignore[arg-type]
    assert [each async for each in events] == []
    assert script.queries() == [
        {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": "7",
            "timeoutSeconds": "301",
            "labelSelector": "a=b",
        }
    ]


async def test_an_error_event_is_an_exception() -> None:
    gone = {"kind": "Status", "metadata": {}, "code": 410, "reason": "Expired", "message": "old"}
    with pytest.raises(Gone, match="old"):
        await read({"type": "ERROR", "object": gone})
    late = {"code": 504, "message": "Too large resource version: 9", "spec": "not of the kind"}
    with pytest.raises(ServerUnavailable) as caught:
        await read({"type": "ERROR", "object": late})
    assert caught.value.too_new


async def test_unknown_events_are_skipped_and_nonsense_is_an_error() -> None:
    assert await read(event("FUTURE", "a", "8")) == []
    for line in (b"{", {"type": "ADDED", "object": {"spec": "text"}}):
        with pytest.raises(KubeAnswerError):
            await read(line)
