"""Looking Services up: once for all, remembered for seconds, kept through bad days."""

import asyncio
from typing import Any

import pytest

from pipeops.agent.services import directory as module
from pipeops.agent.services.access import AllowedServices, PublishedServices, ServiceAccess
from pipeops.agent.services.api_server import ApiServerAddresses
from pipeops.agent.services.directory import FRESH_FOR, MISSING_FOR, STALE_FOR, ServiceDirectory
from pipeops.agent.services.speech import Speech
from pipeops.agent.targets import Endpoint, ServiceTarget, TargetRefused, TargetResolver
from pipeops.kube.errors import Forbidden, KubeUnreachable
from pipeops.protocol.exchange.service_failure import ServiceFailure
from tests.support.service_tunnel import Objects
from tests.support.turns import turns

WEB = ServiceTarget("web", "shop", 80)
AWAY = KubeUnreachable("away")
FORBIDDEN = Forbidden(403, "Forbidden", "no", retry_after=None)


class Made:
    """A directory whose clock and objects are the test's."""

    def __init__(self, objects: Objects | None = None) -> None:
        self.now = 1000.0
        self.names = {"web.shop": ["10.0.0.9"]}
        self.objects = objects
        published = PublishedServices()
        published.replace([WEB])
        api = Endpoint("10.0.0.1", 443)
        resolver = TargetResolver(
            ServiceAccess(published, AllowedServices()), api, "c", lambda: self.now, self._lookup
        )
        addresses = ApiServerAddresses(
            api, "c", now=lambda: self.now, lookup=self._lookup, reader=objects, environment={}
        )
        self.directory = ServiceDirectory(resolver, addresses, now=lambda: self.now, reader=objects)

    async def _lookup(self, host: str, port: int) -> list[str]:
        found = self.names.get(host.removesuffix(".svc.c"))
        if found is None:
            raise OSError("no such name")
        return found

    def reads(self) -> int:
        assert self.objects is not None
        return sum("/shop/services/" in path for path in self.objects.asked)


def with_web(*addresses: str, **more: Any) -> Made:
    objects = Objects()
    objects.put(WEB, *(addresses or ("10.1.0.1",)), **more)
    return Made(objects)


async def failure(made: Made) -> ServiceFailure:
    with pytest.raises(TargetRefused) as raised:
        await made.directory.find(WEB)
    return raised.value.failure


async def test_endpoints_and_speech() -> None:
    made = with_web("10.1.0.1", "10.1.0.2", port=8443, name="https")
    found = await made.directory.find(WEB)
    assert found.endpoints == (Endpoint("10.1.0.1", 8443), Endpoint("10.1.0.2", 8443))
    assert (found.speech, found.verify) == (Speech(tls=True), True)


async def test_a_service_of_thousands_of_pods_is_some_of_them() -> None:
    made = with_web(*[f"10.1.{i}.{j}" for i in range(20) for j in range(1, 100)])
    assert len((await made.directory.find(WEB)).endpoints) == module.MAX_ENDPOINTS


async def test_who_asks_at_once_asks_once() -> None:
    made = with_web()
    found = await asyncio.gather(*[made.directory.find(WEB) for _ in range(10)])
    assert (len(set(map(id, found))), made.reads()) == (1, 1)
    assert made.directory.known(WEB) is found[0]


async def test_one_who_gives_up_takes_nobody_along_but_those_who_waited_for_them() -> None:
    made = with_web()
    first = asyncio.ensure_future(made.directory.find(WEB))
    second = asyncio.ensure_future(made.directory.find(WEB))
    await turns(2)
    second.cancel()
    assert (await first).endpoints
    assert made.directory._asking == {}


async def test_answers_grow_old_and_refusals_faster() -> None:
    made = with_web()
    await made.directory.find(WEB)
    made.now += FRESH_FOR + 1
    assert made.directory.known(WEB) is None
    await made.directory.find(WEB)
    assert made.reads() == 2
    assert made.objects is not None
    made.objects.remove(WEB)
    made.directory.forget(WEB)
    assert await failure(made) is ServiceFailure.NO_SERVICE
    assert await failure(made) is ServiceFailure.NO_SERVICE
    assert made.reads() == 3
    made.now += MISSING_FOR + 0.1
    await failure(made)
    assert made.reads() == 4


async def test_the_last_answer_serves_while_the_api_server_is_away_but_not_for_ever() -> None:
    made = with_web()
    before = await made.directory.find(WEB)
    assert made.objects is not None
    made.objects.errors["/"] = AWAY
    made.now += FRESH_FOR + 1
    assert await made.directory.find(WEB) is before
    made.now += FRESH_FOR + STALE_FOR + 1
    assert (await made.directory.find(WEB)).endpoints == (Endpoint("10.0.0.9", 80),)


async def test_without_rights_names_are_enough_and_the_question_is_not_repeated() -> None:
    made = with_web()
    assert made.objects is not None
    made.objects.errors["/shop/services/"] = FORBIDDEN
    assert (await made.directory.find(WEB)).endpoints == (Endpoint("10.0.0.9", 80),)
    made.now += FRESH_FOR + 1
    await made.directory.find(WEB)
    assert made.reads() == 1
    made.objects.errors.clear()
    made.now += module.FORBIDDEN_FOR
    assert (await made.directory.find(WEB)).endpoints == (Endpoint("10.1.0.1", 80),)


async def test_without_a_reader_there_is_dns() -> None:
    made = Made()
    assert (await made.directory.find(WEB)).endpoints == (Endpoint("10.0.0.9", 80),)
    made.names.clear()
    made.directory.forget(WEB)
    assert await failure(made) is ServiceFailure.NO_SERVICE


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0"]
)
async def test_s05_no_endpoint_is_where_no_service_may_be(address: str) -> None:
    assert await failure(with_web("10.1.0.1", address)) is ServiceFailure.REFUSED


async def test_s05_no_endpoint_is_the_api_server() -> None:
    made = with_web("10.0.0.1", port=443)
    assert await failure(made) is ServiceFailure.REFUSED
    made = Made()
    made.names["web.shop"] = ["10.0.0.1"]
    made.names["kubernetes.default"] = ["10.0.0.1"]
    assert await failure(made) is ServiceFailure.REFUSED


async def test_a_port_that_the_service_does_not_have() -> None:
    made = with_web(spec={"ports": [{"port": 81}]})
    assert await failure(made) is ServiceFailure.NO_SERVICE


async def test_a_bug_of_ours_is_told_to_all_who_asked() -> None:
    made = with_web()
    assert made.objects is not None
    made.objects.errors["/shop/"] = ZeroDivisionError()  # type: ignore[assignment]
    asking = [asyncio.ensure_future(made.directory.find(WEB)) for _ in range(2)]
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 2


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 1)
    made = with_web()
    await made.directory.find(WEB)
    with pytest.raises(TargetRefused):
        await made.directory.find(ServiceTarget("web", "shop", 81))
    assert len(made.directory._known) == 1
