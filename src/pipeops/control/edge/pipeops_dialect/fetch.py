"""Fetch: one small request of the control plane's own, in the PipeOps dialect."""

import asyncio

from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.protocol.errors import RemoteProtocolError
from pipeops.protocol.exchange.events import (
    Aborted,
    AnswerEvent,
    BodyChunk,
    BodyEnd,
    RequestHead,
    ResponseHead,
)
from pipeops.protocol.exchange.pipeops import request_payload
from pipeops.protocol.headers import Headers

MAX_BODY = 1024 * 1024


class FetchFailed(Exception):
    """There is no (usable) answer; the text says why."""


class Fetch:
    """An Answered that keeps the whole answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._body = bytearray()

    def on_event(self, event: AnswerEvent) -> None:
        """Answered."""
        match event:
            case ResponseHead(status, _):
                self._status = status
            case BodyChunk(data):
                if len(self._body) + len(data) > MAX_BODY:
                    raise RemoteProtocolError(f"more than {MAX_BODY} bytes")
                self._body += data
            case BodyEnd() if self._status:
                if not self.answer.done():
                    self.answer.set_result((self._status, bytes(self._body)))
            case BodyEnd():
                self.broken("no answer")
            case Aborted(_, reason, _):
                self.broken(reason)

    def on_head(self, status: int, lines: bytes) -> bool:
        """Answered: by event."""
        return False

    def broken(self, reason: str) -> None:
        """Answered."""
        if not self.answer.done():
            self.answer.set_exception(FetchFailed(reason))

    def on_lost(self) -> None:
        """Answered."""
        self.broken("the tunnel was lost")


async def fetch(
    lane: JsonLane, target: bytes, headers: Headers, request_id: str, *, within: float
) -> tuple[int, bytes]:
    """GET `target` from the Kubernetes API; status and body.

    Raises:
        FetchFailed: no answer, or not in time.
    """
    fetching = Fetch()
    lane.add(request_id, fetching)
    lane.send(request_payload(RequestHead(b"GET", target, headers, 0)), request_id)
    try:
        async with asyncio.timeout(within):
            return await fetching.answer
    except TimeoutError as error:
        raise FetchFailed(f"no answer within {within:g} s") from error
    finally:
        lane.remove(request_id)
