"""What a plain request becomes."""

from typing import Any

import pytest

from pipeops.control.edge.json_kube import JsonKube
from pipeops.control.edge.pipeops_dialect import lane as lane_module
from pipeops.runtime.secrets import Secret
from tests.unit.control.edge.fakes import FakeClient, FakeLink, grant, json_lane, request


def ask(raw: bytes, path: bytes, link: FakeLink | None = None) -> tuple[FakeLink, FakeClient, Any]:
    link, client = link or FakeLink(), FakeClient()
    kube = JsonKube(lambda *_: None)  # type: ignore[arg-type,return-value]
    exchange = kube.open(request(raw), client, json_lane(link), Secret("sa"), path, grant())
    return link, client, exchange


def test_user_credential_and_watch_limit() -> None:
    link, _, _ = ask(
        b"GET /k8s/e/api/v1/pods?watch=true HTTP/1.1\r\nAccept: j\r\n", b"/api/v1/pods?watch=true"
    )
    (sent,) = link.take()
    assert sent["payload"]["query"] == "watch=true&timeoutSeconds=25"
    assert sent["payload"]["headers"] == {
        "Accept": ["j"],
        "Audit-Id": ["0a" * 16],
        "Authorization": ["Bearer sa"],
        "Impersonate-Extra-Scopes": ["x"],
        "Impersonate-Group": ["pipeops:admins"],
        "Impersonate-User": ["ada"],
    }


def test_what_the_dialect_cannot_say_is_refused() -> None:
    link, client, exchange = ask(b"GET /k8s/e/a%2Fb HTTP/1.1\r\n", b"/a%2Fb")
    assert exchange is None
    assert client.ended.startswith("400 ")
    assert link.take() == []


def test_a_full_lane_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "MAX_REQUESTS", 0)
    _, client, exchange = ask(b"GET /k8s/e/a HTTP/1.1\r\n", b"/a")
    assert exchange is None
    assert client.ended.startswith("503 ")


def test_a_request_with_a_body_waits_for_it() -> None:
    link, _, exchange = ask(b"POST /k8s/e/a HTTP/1.1\r\nContent-Length: 2\r\n", b"/a")
    assert link.take() == []
    exchange.on_body(memoryview(b"ab"), True)
    assert link.take()[0]["payload"]["body"] == "YWI="
