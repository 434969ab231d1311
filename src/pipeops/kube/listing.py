"""Reading a collection page by page: each page is decoded from its bytes into the declared fields and then gone."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from pipeops.kube.client import KubeClient, decode
from pipeops.kube.errors import AnswerTooLarge, Gone

T = TypeVar("T")

#: As kubectl and client-go: 500 pods are a few MB of JSON.
PAGE: Final = 500
#: A page of a loaded API server may take far longer than a call for one object.
PAGE_SECONDS: Final = 60.0
_MAX_RESTARTS: Final = 4


class Meta(msgspec.Struct, gc=False, rename="camel"):
    """The part of `metadata` that following an object needs. Declare more only where it is counted."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class ListMeta(msgspec.Struct, gc=False, rename="camel"):
    """`metadata` of a list."""

    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class Page(msgspec.Struct, Generic[T]):
    """Some objects of a collection.

    Attributes:
        metadata: the same `resource_version` on every page of one list.
        items: null where Go has none.
    """

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[T] | None = None

    @property
    def is_last(self) -> bool:
        """Whether the list is complete."""
        return not self.metadata.continue_token


async def pages(
    client: KubeClient,
    path: str,
    kind: type[T],
    *,
    limit: int = PAGE,
    selector: str = "",
    rng: random.Random,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncGenerator[tuple[bool, Page[T]], None]:
    """Yield the pages of one consistent list, each with whether it is the first of it.

    A first page after others means that the list began again, because the server no longer had the old
    snapshot (410): what came before is void. A page beyond the answer limit is asked for again in halves.

    `path` is the collection without query, `kind` the struct of one object (members that it does not
    declare are never kept), `limit` the objects of one page, `selector` a label selector.

    Raises:
        KubeError: as the client's; `Gone` when the snapshot was lost time after time.
    """
    token = ""
    restarts = 0
    page_type: type[Page[T]] = Page[kind]  # type: ignore[valid-type]  # made at run time, once per list
    while True:
        query = {"limit": str(limit)}
        if selector:
            query["labelSelector"] = selector
        if token:
            query["continue"] = token
        target = f"{path}?{urlencode(query, quote_via=quote)}"
        try:
            body = await client.fetch(target, seconds=PAGE_SECONDS)
        except AnswerTooLarge:
            if limit == 1:
                raise
            limit //= 2
            continue
        except Gone:
            restarts += 1
            if not token or restarts > _MAX_RESTARTS:
                raise
            token = ""
            await sleep(rng.uniform(0.5, 1.0) * restarts)
            continue
        page = decode(body, page_type, path)
        del body
        yield not token, page
        if page.is_last:
            return
        token = page.metadata.continue_token
