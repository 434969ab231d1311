"""Watching a collection from a resource version on: typed events, bookmarks, and the server's errors as exceptions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from pipeops.kube.client import KubeClient, decode
from pipeops.kube.transport import refusal_of

#: Beyond the time at which the server itself promised to end the watch.
_SPARE_SECONDS: Final = 30.0


class HasVersion(Protocol):
    """`metadata` as far as a watch needs it."""

    resource_version: str


class Watched(Protocol):
    """A struct that can be watched: all its members have defaults, because a bookmark has only `metadata`."""

    @property
    def metadata(self) -> HasVersion:
        """With the resource version."""


W = TypeVar("W", bound=Watched)


class Change(Enum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    #: Nothing but the resource version moved on.
    BOOKMARK = "BOOKMARK"


class _Event(msgspec.Struct, Generic[W]):
    type: str
    object: W


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


async def watch(
    client: KubeClient,
    path: str,
    kind: type[W],
    resource_version: str,
    *,
    seconds: float,
    selector: str = "",
) -> AsyncGenerator[tuple[Change, W], None]:
    """Yield the changes after `resource_version`; ends when the server ends it, after about `seconds`.

    Events of a type that is not known are skipped. Leave early with `aclosing`.

    Raises:
        Gone: the server no longer knows this version: list again.
        KubeError: anything else; `ApiStatusError.too_new` for a version the server has not reached.
    """
    query = {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": resource_version,
        "timeoutSeconds": str(round(seconds)),
    }
    if selector:
        query["labelSelector"] = selector
    target = f"{path}?{urlencode(query, quote_via=quote)}"
    event_type: type[_Event[W]] = _Event[kind]  # type: ignore[valid-type]  # made once per watch
    decoder = msgspec.json.Decoder(event_type)
    lines = client.lines(target, silence=seconds + _SPARE_SECONDS)
    async with aclosing(lines):
        async for line in lines:
            try:
                event = decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                # An ERROR's object need not fit the kind; anything else that does not fit raises here.
                _raise_error(line, path)
                decode(line, event_type, path)
                continue
            change = _CHANGES.get(event.type)
            if change is not None:
                yield change, event.object
            elif event.type == "ERROR":
                _raise_error(line, path)


_CHANGES: Final = {change.value: change for change in Change}


def _raise_error(line: bytes, path: str) -> None:
    event = decode(line, _RawEvent, path)
    if event.type == "ERROR":
        raise refusal_of(event.object)
