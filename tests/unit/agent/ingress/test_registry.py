"""Calls to the registry: which answers are tried again, how often, and what they are taken for."""

import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeops.agent.control_plane import ControlPlaneError
from pipeops.agent.ingress import registry as module
from pipeops.agent.ingress.bodies import REGISTER, SYNC, UNREGISTER, Circumstances
from pipeops.agent.ingress.registry import (
    ATTEMPTS,
    RegistryClient,
    RegistryDenied,
    RegistryMissing,
    RegistryUnavailable,
    Rejection,
    RouteRefused,
)
from pipeops.agent.observed.routes import RoutesObserved
from pipeops.agent.seed.http_client import HttpAnswer
from tests.unit.agent.ingress.making import spec

AROUND = Circumstances(cluster="c-1")
OK = HttpAnswer(200, b"")


class Http:
    """Answers from a script, the last one for ever; a `ControlPlaneError` is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.observed = RoutesObserved()
        self.client = RegistryClient(self, self.observed, rng=random.Random(1), sleep=self.sleep)

    async def exchange(self, method: str, path: str, body: bytes | None = None) -> HttpAnswer:
        self.asked.append((method, path))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ControlPlaneError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_each_call_has_its_path() -> None:
    http = Http(OK)
    await http.client.register(spec(), AROUND)
    await http.client.sync([spec()], AROUND)
    await http.client.unregister("a.test", AROUND)
    assert http.asked == [("POST", REGISTER), ("POST", SYNC), ("POST", UNREGISTER)]
    observed = http.observed
    assert (observed.calls, observed.syncs, observed.retries, observed.failures) == (3, 1, 0, 0)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_success_is_one(status: int) -> None:
    await Http(HttpAnswer(status, b"whatever")).client.register(spec(), AROUND)


@pytest.mark.parametrize(
    "answer",
    [
        ControlPlaneError("refused"),
        *(HttpAnswer(s, b"") for s in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
async def test_what_may_pass_is_tried_again_with_growing_pauses(answer: Any) -> None:
    http = Http(answer)
    with pytest.raises(RegistryUnavailable):
        await http.client.register(spec(), AROUND)
    assert len(http.asked) == ATTEMPTS
    assert 0.75 <= http.slept[0] <= 1.25
    assert 1.5 <= http.slept[1] <= 2.5
    assert (http.observed.retries, http.observed.failures, http.observed.calls) == (2, 1, 0)
    http = Http(answer, OK)
    await http.client.register(spec(), AROUND)
    assert (http.observed.retries, http.observed.failures, http.observed.calls) == (1, 0, 1)


async def test_a_pause_that_is_asked_for_is_kept_and_a_long_one_is_the_callers() -> None:
    http = Http(HttpAnswer(429, b"", 7.0), OK)
    await http.client.register(spec(), AROUND)
    assert http.slept == [7.0]
    http = Http(HttpAnswer(503, b"", 600.0))
    with pytest.raises(RegistryUnavailable) as raised:
        await http.client.register(spec(), AROUND)
    assert (raised.value.retry_after, len(http.asked)) == (600.0, 1)


@pytest.mark.parametrize(
    ("status", "call", "error"),
    [
        (401, "register", RegistryDenied),
        (401, "sync", RegistryDenied),
        (403, "sync", RegistryDenied),
        (403, "register", RouteRefused),
        (409, "register", RouteRefused),
        (400, "sync", RouteRefused),
        (413, "sync", RouteRefused),
        (422, "register", RouteRefused),
        (302, "register", RouteRefused),
        (404, "sync", RegistryMissing),
        (405, "sync", RegistryMissing),
        (501, "sync", RegistryMissing),
        (404, "register", RegistryMissing),
    ],
)
async def test_what_will_not_pass_is_given_up_at_once(status: int, call: str, error: Any) -> None:
    http = Http(HttpAnswer(status, b'{"error": "because token=abc"}'))
    with pytest.raises(error, match=f"answered {status}") as raised:
        await (
            http.client.sync([spec()], AROUND)
            if call == "sync"
            else http.client.register(spec(), AROUND)
        )
    assert len(http.asked) == 1
    assert "because" in str(raised.value)
    assert http.observed.failures == 1


async def test_to_withdraw_what_is_not_there_is_no_error() -> None:
    await Http(HttpAnswer(404, b"")).client.unregister("a.test", AROUND)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"OK", []),
        (b"[]", []),
        (b'{"rejected": null}', []),
        (
            b'{"rejected": [{"host": "A.test", "path": "", "reason": "taken", "error": "no", "hint": "x"}]}',
            [Rejection("a.test", "no; x")],
        ),
        (
            b'{"rejected": [{"host": "a.test", "path": "/x", "reason": "invalid"}], "routes": 1}',
            [Rejection("a.test", "invalid", "/x")],
        ),
        (b"\xff", []),
        (b"[" * 100_000, []),
    ],
)
async def test_hosts_that_a_registry_names_were_not_taken(
    body: bytes, expected: list[Rejection]
) -> None:
    assert list(await Http(HttpAnswer(200, body)).client.sync([spec()], AROUND)) == expected


async def test_what_the_registry_warns_of_is_logged_once() -> None:
    body = b'{"warnings": [{"ingress": "shop/web", "warning": "too much"}, {"ingress": "shop/api", "warning": "too much"}]}'
    http = Http(HttpAnswer(200, body))
    with capture_logs() as records:
        await http.client.sync([spec()], AROUND)
        await http.client.register(spec(), AROUND)
        await http.client.sync([spec()], AROUND)
    assert [(one["ingress"], one["why"]) for one in records] == [
        ("shop/web", "too much"),
        ("shop/api", "too much"),
    ]


async def test_warnings_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WARNED", 3)
    listed = ",".join(f'{{"ingress": "shop/{number}", "warning": "w"}}' for number in range(9))
    http = Http(HttpAnswer(200, f'{{"warnings": [{listed}]}}'.encode()))
    with capture_logs() as records:
        await http.client.sync([spec()], AROUND)
    assert (len(records), len(http.client._warned)) == (3, 3)
