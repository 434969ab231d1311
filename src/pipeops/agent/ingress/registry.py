"""RegistryClient: the control plane's route registry, spoken as reference gateway §2 has it, with bounded attempts."""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Protocol

import msgspec

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.ingress.bodies import (
    REGISTER,
    SYNC,
    UNREGISTER,
    Circumstances,
    register_body,
    sync_body,
    unregister_body,
)
from pipeops.agent.ingress.routes import RouteSpec
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.agent.seed.http_client import HttpAnswer, shown
from pipeops.runtime.logs import get_logger

log = get_logger(__name__)

ATTEMPTS: Final = 3
_FIRST_DELAY: Final = 1.0
_LONGEST_SINGLE: Final = 5.0
_LONGEST_SYNC: Final = 10.0
#: A registry that asks for more is left alone by whoever calls, not waited for here.
_LONGEST_ASKED: Final = 30.0
_MAX_REJECTED: Final = 10_000
_MAX_WARNED: Final = 1000
_SHOWN: Final = 512  # characters of one warning in the log

_AGAIN: Final = frozenset({408, 425, 429})
_NO_SUCH_CALL: Final = frozenset({404, 405, 501})


class RegistryUnavailable(ControlPlaneError):
    """No usable answer, time after time; later may be better."""


class RegistryDenied(ControlPlaneError):
    """The registry does not take this agent's token (401, 403)."""

    retryable = False


class RegistryMissing(ControlPlaneError):
    """This control plane has no such call (404)."""

    retryable = False


class RouteRefused(ControlPlaneError):
    """The registry will not have this; asking again without a change is of no use."""

    retryable = False


class Http(Protocol):
    """Calls the control plane; `agent.seed.http_client.ControlHttp` is one."""

    async def exchange(self, method: str, path: str, body: bytes | None = None) -> HttpAnswer:
        """The answer, whatever its status. Raises `ControlPlaneError` where there was none."""


class Rejection(msgspec.Struct, frozen=True):
    """A host that a synchronisation did not take, or one path of it; `path` is empty for all of the host."""

    host: str
    reason: str
    path: str = ""


class _Rejected(msgspec.Struct):
    host: str = ""
    path: str = ""
    reason: str = ""
    error: str = ""
    hint: str = ""


class _Warning(msgspec.Struct, frozen=True):
    ingress: str = ""
    warning: str = ""


class _Answer(msgspec.Struct):
    rejected: list[_Rejected] | None = None
    warnings: list[_Warning] | None = None


class RegistryClient:
    """Every method is one call, tried up to three times, and counted."""

    def __init__(
        self,
        http: Http,
        observed: RoutesObserved,
        *,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._observed = observed
        self._rng = rng
        self._sleep = sleep
        self._warned: OrderedDict[_Warning, None] = OrderedDict()

    async def register(self, route: RouteSpec, around: Circumstances) -> None:
        """Register one route.

        Raises:
            RouteRefused: among others because the host is another cluster's.
            RegistryDenied, RegistryMissing, RegistryUnavailable: see there.
        """
        body = await self._call(REGISTER, register_body(route, around), _LONGEST_SINGLE)
        self._warn(_read(body))

    async def unregister(self, host: str, around: Circumstances) -> None:
        """Withdraw a host with all its paths; one that is not there is no error.

        Raises: as `register`.
        """
        try:
            await self._call(UNREGISTER, unregister_body(host, around), _LONGEST_SINGLE)
        except RegistryMissing:
            return

    async def sync(
        self, routes: Collection[RouteSpec], around: Circumstances
    ) -> Collection[Rejection]:
        """Register all routes in one call; the hosts that a registry of ours did not take.

        Raises: as `register`.
        """
        body = await self._call(SYNC, sync_body(routes, around), _LONGEST_SYNC)
        self._observed.syncs += 1
        answer = _read(body)
        self._warn(answer)
        return [
            Rejection(each.host.lower(), _why(each), each.path)
            for each in (answer.rejected or [])[:_MAX_REJECTED]
        ]

    def _warn(self, answer: _Answer) -> None:
        """Say what the registry warns of, each thing once."""
        for each in (answer.warnings or [])[:_MAX_WARNED]:
            if each not in self._warned:
                log.warning(
                    "annotation does not count as written",
                    ingress=each.ingress[:_SHOWN],
                    why=each.warning[:_SHOWN],
                )
            self._warned[each] = None
            self._warned.move_to_end(each)
        while len(self._warned) > _MAX_WARNED:
            self._warned.popitem(last=False)

    async def _call(self, path: str, body: bytes, longest: float) -> bytes:
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = await self._once(path, body)
            except RegistryUnavailable as error:
                if attempt >= ATTEMPTS or error.retry_after > _LONGEST_ASKED:
                    self._observed.failures += 1
                    raise
                self._observed.retries += 1
                delay = min(_FIRST_DELAY * 2.0 ** (attempt - 1), longest)
                await self._sleep(max(delay * self._rng.uniform(0.75, 1.25), error.retry_after))
            except ControlPlaneError:
                self._observed.failures += 1
                raise
            else:
                self._observed.calls += 1
                return answer.body

    async def _once(self, path: str, body: bytes) -> HttpAnswer:
        try:
            answer = await self._http.exchange("POST", path, body)
        except ControlPlaneError as error:
            raise RegistryUnavailable(str(error)) from error
        status = answer.status
        if 200 <= status < 300:
            return answer
        text = f"POST {path}: the control plane answered {status}: {shown(answer.body)}"
        if status in _AGAIN or (status >= 500 and status not in _NO_SUCH_CALL):
            raise RegistryUnavailable(text, status=status, retry_after=answer.retry_after)
        if status in _NO_SUCH_CALL:
            raise RegistryMissing(text, status=status)
        # A registry says 403 of a host too: only of all routes it is about the token for certain.
        if status == 401 or (status == 403 and path == SYNC):
            raise RegistryDenied(text, status=status)
        raise RouteRefused(text, status=status)


def _read(body: bytes) -> _Answer:
    """Read what ours tells in its answer; other registries' answers say nothing (reference gateway §2.1)."""
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Answer()


def _why(rejected: _Rejected) -> str:
    """Say what is wrong and what to do about it."""
    told = [text for text in (rejected.error or rejected.reason, rejected.hint) if text]
    return "; ".join(told)[:512]
