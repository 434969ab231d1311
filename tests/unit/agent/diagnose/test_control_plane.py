from datetime import UTC, datetime, timedelta

import pytest

from pipeops.agent.control_plane import ControlPlaneUrl
from pipeops.agent.diagnose import control_plane as module
from pipeops.agent.diagnose.control_plane import ControlPlaneChecks, clock_part, resolves, tls_part
from pipeops.agent.diagnose.probe import Seen
from pipeops.tunnel.websocket import HandshakeRefused

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def checks(proxy=None, token="t", url="https://cp.example"):
    return ControlPlaneChecks(
        ControlPlaneUrl.parse(url), lambda: token, lambda: None, proxy, lambda: NOW
    )


@pytest.mark.parametrize(
    ("seconds", "result"), [(0, "ok"), (29, "ok"), (-60, "warn"), (3600, "fail"), (-3600, "fail")]
)
def test_clocks_are_compared(seconds, result):
    part = clock_part(NOW + timedelta(seconds=seconds), NOW, "x")
    assert part.result == result
    assert clock_part(None, NOW, "x").result == "skip"


def test_the_issuer_and_the_last_day_are_told():
    good = tls_part("TLSv1.3", "Corp CA", NOW + timedelta(days=90), NOW)
    assert (good.result, "Corp CA" in good.detail) == ("ok", True)
    assert tls_part("TLSv1.3", "x", NOW + timedelta(days=3), NOW).result == "warn"
    assert tls_part("TLSv1.3", "", None, NOW).detail.endswith("nobody named")
    assert tls_part("", "", None, NOW).result == "warn"


async def test_the_proxy_is_named_without_its_password():
    proxied = checks("http://user:pass@proxy:3128")
    (part,) = await proxied.proxy()
    assert part.detail == "http://proxy:3128 with a user name"
    assert (await proxied.name())[0].result == "skip"
    assert "none" in (await checks().proxy())[0].detail


async def test_reachable_tells_time_tls_and_clock(monkeypatch):
    seen = Seen(200, NOW, "TLSv1.3", "Corp", NOW + timedelta(days=99), 0.01, 2.0)

    async def look(*_, **__):
        return seen

    monkeypatch.setattr(module, "look", look)
    parts = await checks().reachable()
    assert [(part.about, part.result) for part in parts] == [
        ("", "warn"),
        ("TLS", "ok"),
        ("clock", "ok"),
    ]


async def test_the_token_is_tried_without_registering(monkeypatch):
    closed = []

    class Tunnel:
        def close(self, code, reason):
            closed.append(code)

    async def dial(handler, url, *, headers, **_):
        assert headers == {"Authorization": "Bearer t"}
        return Tunnel()

    monkeypatch.setattr(module, "dial", dial)
    assert (await checks().token())[0].result == "ok"
    assert closed == [1000]

    async def refuse(*_, **__):
        raise HandshakeRefused(401, {}, b"", "no")

    monkeypatch.setattr(module, "dial", refuse)
    (part,) = await checks().token()
    assert part.result == "fail"
    assert "refused the agent's token" in part.detail
    assert (await checks(token="").token())[0].detail == "there is none"


async def test_numeric_names_resolve_without_dns():
    assert (await resolves("127.0.0.1", 1)).detail == "127.0.0.1 is 127.0.0.1"


def test_the_checks_are_in_the_order_of_a_connection():
    assert [check.name.rpartition(" ")[2] for check in checks().checks()] == [
        "name",
        "proxy",
        "reachable",
        "token",
    ]
