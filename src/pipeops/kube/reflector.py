"""Reflector: keeps what a sink knows equal to a collection of the API server: list once, then watch, for ever."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, Generic, Protocol, TypeVar

from pipeops.kube.client import KubeClient
from pipeops.kube.errors import (
    ApiStatusError,
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    Unauthorized,
)
from pipeops.kube.listing import PAGE, pages
from pipeops.kube.watching import Change, Watched, watch
from pipeops.runtime.backoff import Backoff
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

W = TypeVar("W", bound=Watched)
W_contra = TypeVar("W_contra", bound=Watched, contravariant=True)

#: How long one watch lasts; spread, so that not all end at once (client-go: 5 to 10 minutes).
WATCH_SECONDS: Final = (300.0, 600.0)
#: Pause after "may not" or "no such API": only an operator can change that.
DENIED_SECONDS: Final = 120.0
#: Watches that end this many times in a row without having told anything are a failure.
_MAX_EMPTY: Final = 3


class Sink(Protocol[W_contra]):
    """Takes the objects of a collection. Called in the event loop; must not raise."""

    def begin(self) -> None:
        """A list begins; drop what an unfinished one has brought."""

    def page(self, items: Sequence[W_contra]) -> None:
        """Some objects of the list; keep no more of them than needed."""

    def finish(self) -> None:
        """The list is complete: what was not in it is gone."""

    def change(self, change: Change, item: W_contra) -> None:
        """One object was added, modified or deleted; never a bookmark."""


class Reflector(Generic[W]):
    """One collection, followed.

    Attributes:
        synced: set once the first list is complete.
        problem: why the sink may be out of date, None while it is not.
        relists: lists begun.
    """

    def __init__(  # noqa: PLR0913 -- what varies between collections
        self,
        client: KubeClient,
        path: str,
        kind: type[W],
        sink: Sink[W],
        *,
        rng: random.Random,
        selector: str = "",
        page: int = PAGE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        advice: str = "",
    ) -> None:
        """`path` is the collection (`/api/v1/pods`), `page` the objects of one request.

        `advice` is logged with a refusal (401, 403, 404): what gives the right that is missing.
        """
        self._client = client
        self._path = path
        self._kind = kind
        self._sink = sink
        self._rng = rng
        self._selector = selector
        self._page = page
        self._sleep = sleep
        self._advice = advice
        self._backoff = Backoff(rng, first=0.8, cap=30.0)
        self._version = ""
        self._doubted = False
        self.synced = asyncio.Event()
        self.problem: KubeError | None = None
        self.relists = 0

    @property
    def resource_version(self) -> str:
        """Up to where the sink knows everything; empty before the first list and when it must be repeated."""
        return self._version

    async def run(self) -> None:
        """List, watch, resume; until cancelled. API errors are waited out, never raised."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except (Forbidden, NotFound) as error:
                self._version = ""
                self._note(error)
                await self._sleep(DENIED_SECONDS * self._rng.uniform(0.8, 1.2))
            except KubeError as error:
                if isinstance(error, Gone) or _too_new(error):
                    # A server restored from a backup never reaches our version: ask for what there is.
                    self._version = ""
                if not isinstance(error, Gone):
                    self._note(error)
                self._doubted = True
                await self._pause(error)

    async def _list(self) -> None:
        self.relists += 1
        version = ""
        listed = pages(
            self._client,
            self._path,
            self._kind,
            limit=self._page,
            selector=self._selector,
            rng=self._rng,
            sleep=self._sleep,
        )
        async with aclosing(listed):
            async for first, page in listed:
                if first:
                    self._sink.begin()
                self._sink.page(page.items or [])
                version = page.metadata.resource_version
        self._sink.finish()
        self._version = version
        self._doubted = False
        if isinstance(self.problem, Forbidden | NotFound):
            self._recovered()
        self.synced.set()

    async def _watch(self) -> None:
        """Watch after watch, until an error."""
        empty = 0
        while True:
            if self._doubted:
                await self._check_version()
            empty += 1
            seconds = self._rng.uniform(*WATCH_SECONDS)
            events = watch(
                self._client,
                self._path,
                self._kind,
                self._version,
                seconds=seconds,
                selector=self._selector,
            )
            async with aclosing(events):
                async for change, item in events:
                    empty = 0
                    if change is not Change.BOOKMARK:
                        self._sink.change(change, item)
                    self._version = item.metadata.resource_version or self._version
                    if self.problem is not None or self._backoff.attempts:
                        self._recovered()
            self._recovered()
            if empty:
                self._doubted = True
                # A proxy that cuts every answer short must not make us ask without a pause.
                await self._sleep(self._rng.uniform(0.5, 1.0) * min(empty, _MAX_EMPTY) ** 2)

    async def _check_version(self) -> None:
        """Make sure that the server knows our version, where it may have been replaced behind our back.

        A watch from a version which a server restored from a backup has yet to reach is silent, not refused;
        a list of one object tells (504).
        """
        query = f"limit=1&resourceVersion={self._version}&resourceVersionMatch=NotOlderThan"
        await self._client.fetch(f"{self._path}?{query}")
        self._doubted = False

    async def _pause(self, error: KubeError) -> None:
        delay = next(self._backoff)
        asked = error.retry_after if isinstance(error, ApiStatusError) else None
        await self._sleep(max(delay, min(asked or 0.0, 60.0)))

    def _note(self, error: KubeError) -> None:
        """Say a new kind of trouble once, not at every attempt."""
        if type(error) is not type(self.problem):
            refused = isinstance(error, Unauthorized | Forbidden | NotFound)
            more = {"advice": self._advice} if self._advice and refused else {}
            log.warning(
                "cannot follow the cluster's objects", path=self._path, error=str(error), **more
            )
        self.problem = error

    def _recovered(self) -> None:
        if self.problem is not None:
            log.info("following the cluster's objects again", path=self._path)
        self.problem = None
        self._backoff.reset()


def _too_new(error: KubeError) -> bool:
    return isinstance(error, ApiStatusError) and error.too_new
