"""PodLogs: a container's log as server-sent events, asked for with the caller's own token: the cluster's RBAC decides."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

import msgspec

from pipeops.agent.local_api.http import Answer, Request, Stream, text
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.sse import HEAD, KEEPALIVE, LINGER, PATIENCE, frame
from pipeops.kube.config import KubeAccess
from pipeops.kube.credentials import StaticCredentials, bearer
from pipeops.kube.errors import ApiStatusError, CredentialError, KubeError
from pipeops.kube.transport import Request as ApiRequest
from pipeops.kube.transport import Transport
from pipeops.runtime.logs import get_logger
from pipeops.runtime.secrets import Secret
from pipeops.runtime.tasks import OnError, ScopeClosedError, TaskScope, TooManyTasksError

log = get_logger(__name__)

FOLLOWED: Final = 16  # logs at once: each is a connection to the API server
DEFAULT_TAIL: Final = 100
MAX_TAIL: Final = 1000
MAX_LINE: Final = 8 * 1024  # bytes; what is longer is cut
ANSWER_SECONDS: Final = 15.0
SILENCE_SECONDS: Final = (
    4 * 3600.0
)  # after which kubelets give a stream up (streaming-connection-idle-timeout)

# RFC 1123, as Kubernetes names namespaces, pods and containers.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_FLAGS: Final = {"": "false", "0": "false", "false": "false", "1": "true", "true": "true"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: `path` of the API server's log endpoint, with its query."""

    path: str

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wanted":
        """Read the parameters. Raises ValueError, worded for people."""
        namespace, pod = query.get("namespace", "default"), query.get("pod", "")
        container = query.get("container", "")
        for name, value in (("namespace", namespace), ("pod", pod), ("container", container)):
            if not _NAME.fullmatch(value) and (value or name != "container"):
                raise ValueError(f"{name}: expected the name of a {name}")
        tail = query.get("tail", str(DEFAULT_TAIL))
        if not tail.isdecimal() or len(tail) > 5 or int(tail) > MAX_TAIL:
            raise ValueError(f"tail: expected a number of lines, at most {MAX_TAIL}")
        previous = _FLAGS.get(query.get("previous", ""))
        if previous is None:
            raise ValueError("previous: expected true or false")
        asked = {
            "follow": "false" if previous == "true" else "true",
            "tailLines": tail,
            "previous": previous,
        }
        if container:
            asked["container"] = container
        return cls(f"/api/v1/namespaces/{namespace}/pods/{pod}/log?{urlencode(asked)}")


class PodLogs:
    """Service: owns what follows a container's log.

    The agent's own credential is never used here: without a token of the caller's there is no request.
    """

    def __init__(
        self,
        access: KubeAccess | None,
        pulse: Pulse,
        dropped: Counter[str],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._access = access
        self._pulse = pulse
        self._dropped = dropped
        self._loop = loop
        self._scope = TaskScope("pod logs", on_error=OnError.ISOLATE, limit=FOLLOWED)

    @property
    def name(self) -> str:
        """Service: shown in logs."""
        return "pod logs"

    async def run(self, ready: Callable[[], None]) -> None:
        """Service: until cancelled."""
        async with self._scope:
            ready()
            await asyncio.Event().wait()

    def page(self, request: Request) -> Answer | Stream:
        """What follows the log that `request` names, or why there is none."""
        if self._access is None:
            return text(503, "there is no cluster")
        scheme, _, token = (request.head.block.authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token.strip():
            return _unauthorized("a pod's log needs a bearer token of the cluster")
        try:
            authorization = bearer(Secret(token.strip().decode("latin-1")))
            wanted = Wanted.of(request.query)
        except CredentialError as error:
            return _unauthorized(str(error))
        except ValueError as error:
            return text(400, str(error))
        if self._scope.live >= FOLLOWED:
            return text(503, f"{FOLLOWED} logs are followed already")
        # Neither token nor client certificate of the agent: the API server sees the caller only.
        access = replace(self._access, credentials=StaticCredentials(authorization))
        return PodLogStream(Transport(access), wanted, self)

    def follow(self, stream: "PodLogStream") -> asyncio.Task[object]:
        """Start a stream's work. Raises `ScopeClosedError`, `TooManyTasksError`."""
        return self._scope.spawn(stream.follow(), name="follow")

    def joins(self, stream: "PodLogStream") -> None:
        """The clock calls this one from now on."""
        self._pulse.add(stream)

    def leaves(self, stream: "PodLogStream", transport: asyncio.Transport | None) -> None:
        """A stream is over; a client that reads nothing does not hold its connection for long."""
        self._pulse.remove(stream)
        if transport is not None:
            transport.close()
            self._loop.call_later(LINGER, transport.abort)

    def drops(self, word: str, reason: str) -> None:
        """Count a client that was let go."""
        self._dropped[word] += 1
        log.info("local stream client dropped", reason=reason)


class PodLogStream:
    """One client. What it does not read is not read from the API server either: one line waits, and only for so long."""

    def __init__(self, transport: Transport, wanted: Wanted, owner: PodLogs) -> None:
        self._api = transport
        self._wanted = wanted
        self._owner = owner
        self._client: asyncio.Transport | None = None
        self._task: asyncio.Task[object] | None = None
        self._readable = asyncio.Event()
        self._readable.set()
        self._begun = False

    def start(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        """Stream: ask the API server; its answer decides what kind of answer this is."""
        self._client = transport
        try:
            self._task = self._owner.follow(self)
        except (ScopeClosedError, TooManyTasksError):
            self._finish(text(503, "no more logs can be followed").rendered(close=True))
            return
        self._owner.joins(self)

    async def follow(self) -> None:
        """Until the log ends, the client leaves, or it reads nothing for too long."""
        lines = self._api.lines(
            ApiRequest("GET", self._wanted.path, accept="*/*"),
            seconds=ANSWER_SECONDS,
            silence=SILENCE_SECONDS,
            begun=self._begin,
        )
        try:
            async with aclosing(lines):
                async for line in lines:
                    self._write(frame("log", _line(line)))
                    async with asyncio.timeout(PATIENCE):
                        await self._readable.wait()
        except TimeoutError:
            self._drop()
        except KubeError as error:
            self._refuse(error)
        else:
            self.stop("the log has ended")

    def pause(self) -> None:
        """Stream: read nothing more for it."""
        self._readable.clear()

    def resume(self) -> None:
        """Stream: go on."""
        self._readable.set()

    def lost(self) -> None:
        """Stream: nobody is there any more."""
        self._client = None
        self._finish(b"")

    def stop(self, reason: str) -> None:
        """Stream: end it, saying why."""
        if not self._begun:
            self._finish(text(503, reason).rendered(close=True))
            return
        self._finish(frame("end", msgspec.json.encode({"reason": reason[:1000]})))

    def on_second(self, age: int) -> None:
        """Beating: proxies close what is silent."""
        if self._begun and age % KEEPALIVE == 0 and self._readable.is_set():
            self._write(b": keepalive\n\n")

    def _begin(self) -> None:
        self._begun = True
        self._write(HEAD)

    def _drop(self) -> None:
        reason = f"nothing was read for {PATIENCE} s"
        self._owner.drops("stalled", reason)
        self.stop(reason)

    def _refuse(self, error: KubeError) -> None:
        if self._begun:
            self.stop(str(error))
            return
        status, words = 502, str(error)
        if isinstance(error, ApiStatusError):
            status = error.status if error.status in {400, 401, 403, 404, 429} else 502
            words = error.message
        answer = _unauthorized(words) if status == 401 else text(status, words)
        self._finish(answer.rendered(close=True))

    def _write(self, data: bytes) -> None:
        if self._client is not None:
            self._client.write(data)

    def _finish(self, last: bytes) -> None:
        """Say the last word and let everything go; harmless twice."""
        client, self._client = self._client, None
        task, self._task = self._task, None
        if client is not None and last:
            client.write(last)
        self._owner.leaves(self, client)
        if task is not None and task is not asyncio.current_task():
            task.cancel()


def _line(line: bytes) -> bytes:
    """One line of a log as the agent's own log has them."""
    shown: dict[str, object] = {"message": line[:MAX_LINE].decode("utf-8", "replace")}
    if len(line) > MAX_LINE:
        shown["fields"] = {"cut": f"{len(line)} bytes"}
    return msgspec.json.encode(shown)


def _unauthorized(words: str) -> Answer:
    answer = text(401, words)
    return replace(answer, headers={"WWW-Authenticate": "Bearer"})
