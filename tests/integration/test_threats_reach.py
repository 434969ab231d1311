"""threats.md on real processes: where a request may go, with whose rights, and how much of it there may be."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.conftest import CLUSTER, Product
from tests.integration.test_threats import UPGRADE, get
from tests.support.fakeapi import FakeApi, answer
from tests.support.rawhttp import RawClient

pytestmark = [pytest.mark.slow]


@pytest.fixture(autouse=True)
def _fresh(product: Product) -> Iterator[None]:
    product.api.received.clear()
    yield
    product.check()


# -- S-05, S-06: the target ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://127.0.0.1:{port}/api/v1/x", "127.0.0.1:{port}"),
        ("/k8s/{cluster}//127.0.0.1:{port}/api/v1/x", "x"),
        ("/k8s/{cluster}/@127.0.0.1:{port}/api/v1/x", "x"),
        ("/k8s/{cluster}/http://127.0.0.1:{port}/x", "x"),
        ("/k8s/{cluster}/api/v1/x", "127.0.0.1:{port}"),
        ("/k8s/{cluster}/api/v1/x?host=127.0.0.1:{port}", "@127.0.0.1:{port}"),
        ("/k8s/{cluster}@127.0.0.1:{port}/api/v1/x", "x"),
    ],
)
def test_s06_nothing_a_client_says_names_the_target(
    product: Product, target: str, host: str
) -> None:
    """The agent dials the address in its own configuration, and says that name."""
    with FakeApi() as elsewhere, RawClient(product.stack) as client:
        fields = {"port": elsewhere.port, "cluster": CLUSTER}
        client.send(
            f"GET {target.format(**fields)} HTTP/1.1\r\nHost: {host.format(**fields)}\r\n"
            f"Authorization: Bearer {product.token}\r\n\r\n".encode()
        )
        assert client.response()[0] in (200, 400, 404)
        assert elsewhere.connections == 0
    for got in product.api.received:
        assert got.values("Host") == [f"127.0.0.1:{product.api.port}"]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\nleaked-it",
        b"leaked-it\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: leaked-it\r\n\r\n",
        b"HTTP/1.1 999999 leaked-it\r\n\r\n",
    ],
)
def test_s05_our_errors_repeat_nothing_of_what_a_backend_said(
    product: Product, said: bytes
) -> None:
    product.api.on("/leaky", said)
    with RawClient(product.stack) as client:
        client.send(get(product, "/leaky"))
        status, body = client.response()
    assert status == 502
    assert json.loads(body)["kind"] == "Status"
    assert b"leaked-it" not in body


# -- S-07: streaming into pods is no reading -------------------------------------------------


@pytest.mark.parametrize("verb", ["exec", "attach", "portforward", "proxy"])
def test_s07_a_get_that_opens_a_pod_runs_as_its_user_and_the_refusal_is_final(
    product: Product, verb: str
) -> None:
    """The cluster's RBAC asks for `create`; all depends on the user's name being on the upgrade too."""
    path = f"/api/v1/namespaces/default/pods/p/{verb}"
    refusal = b'{"kind":"Status","code":403,"reason":"Forbidden"}'
    product.api.on(path, answer("403 Forbidden", refusal))
    user = product.stack.add_user("reader@example.org", "readers")
    with RawClient(product.stack) as client:
        client.send(get(product, path, *UPGRADE, token=user.token))
        status, body = client.response()
        assert (status, body) == (403, refusal)
        assert client.closed
    (got,) = product.api.seen(path)
    assert got.values("Impersonate-User") == ["reader@example.org"]
    assert set(got.values("Impersonate-Group")) >= {"readers"}


# -- S-11: a token counts only when it is wholly right ---------------------------------------


def test_s11_whatever_is_not_exactly_one_valid_token_is_401(product: Product) -> None:
    user = product.stack.add_user("tess@example.org")
    cluster = product.stack.add_cluster(f"tokens-{time.monotonic_ns()}").read_text().strip()
    for value in (
        "",
        "Bearer",
        "Bearer  ",
        f"Basic {user.token}",
        user.token,
        f"Bearer {user.token}x",
        f"Bearer {user.token[:-1]}",
        f"Bearer {user.token.swapcase()}",
        f"Bearer {user.token},{user.token}",
        f"Bearer {cluster}",
        f"Bearer {'a' * 4000}",
    ):
        with RawClient(product.stack) as client:
            client.send(
                f"GET /k8s/{CLUSTER}/api HTTP/1.1\r\nHost: x\r\nAuthorization: {value}\r\n\r\n".encode()
            )
            assert client.response()[0] == 401, value
    assert product.api.received == []


# -- S-14: the name of a cluster has one spelling --------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["FAKE", "Fake", "fake.", "fake:443", "fake%20", "%66ake", "fake%00", "f\u0430ke", "fake;x", "..", "%2e%2e/fake", "."],
)  # fmt: skip
def test_s14_no_other_spelling_reaches_a_cluster(product: Product, name: str) -> None:
    for token in (product.token, product.stack.add_user("u@example.org", clusters=[CLUSTER]).token):
        with RawClient(product.stack) as client:
            client.send(
                f"GET /k8s/{name}/api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            )
            assert client.response()[0] in (400, 403, 404)
    assert product.api.received == []


def test_s14_no_cluster_can_be_added_under_such_a_name(product: Product) -> None:
    for name in ("FAKE", "fake.", "fake:443", "f\u0430ke", "", "-fake", "a" * 64, "../x", CLUSTER):
        status, body = product.stack.request(
            "POST", "/api/v1/clusters", {"name": name}, token=product.token
        )
        assert status in (400, 409, 422), body


# -- S-15, S-18: without a token there is nothing ---------------------------------------------

PUBLIC = {"/health", "/healthz", "/ready", "/readyz", "/api/openapi.json", "/api/v1/version"}
OTHERS = [
    "/", "/k8s", "/k8s/", f"/k8s/{CLUSTER}", f"/k8s/{CLUSTER}/", f"/k8s/{CLUSTER}/healthz", "/api", "/api/",
    "/api/v1", "/api/v1/", "/api/docs", "/docs", "/redoc", "/openapi.json", "/metrics", "/debug/pprof/", "/.env",
    "/api/v1/clusters", "/api/v1/clusters/", f"/api/v1/clusters/{CLUSTER}", "/api/v1/tokens", "/api/v1/whoami",
    "/api/v1/clusters/agent/ws", "/api/v1/clusters/agent/ws/", "/ws", "//health", "/health/../api/v1/tokens",
    "/api/v1/version/../tokens", "/API/v1/tokens", "/api//v1/tokens",
]  # fmt: skip


@pytest.mark.parametrize("upgrade", [(), UPGRADE], ids=["plain", "websocket"])
def test_s15_s18_without_a_token_only_what_is_public_is_answered(
    product: Product, upgrade: tuple[str, ...]
) -> None:
    for path in [*PUBLIC, *OTHERS]:
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            with RawClient(product.stack) as client:
                lines = [f"{method} {path} HTTP/1.1", "Host: x", *upgrade, "", ""]
                client.send("\r\n".join(lines).encode())
                status, _ = client.head()
            if path in PUBLIC and method == "GET":
                assert status in (200, 400), path  # 400: nothing there can be upgraded
            else:
                assert status in (200, 400, 401, 404, 405, 426), (method, path, status)
                assert status != 200 or path in PUBLIC, (method, path)
    assert product.api.received == []


# -- S-16: rights are the caller's -------------------------------------------------------------


def test_s16_a_user_of_another_cluster_gets_nothing_of_this_one(product: Product) -> None:
    product.stack.add_cluster("sixteen")
    user = product.stack.add_user("sam@example.org", clusters=["sixteen"])
    for method, path in (
        ("GET", f"/k8s/{CLUSTER}/api/v1/secrets"),
        ("GET", f"/api/v1/clusters/{CLUSTER}"),
        ("POST", f"/api/v1/clusters/{CLUSTER}/tokens"),
        ("DELETE", f"/api/v1/clusters/{CLUSTER}"),
        ("POST", "/api/v1/tokens"),
    ):
        status, _ = product.stack.request(
            method, path, {} if method == "POST" else None, token=user.token
        )
        assert status in (403, 404), (method, path)
    listed = json.dumps(product.stack.request("GET", "/api/v1/clusters", token=user.token)[1])
    assert "sixteen" in listed
    assert f'"{CLUSTER}"' not in listed
    assert product.api.received == []


# -- S-30: one client is one client ------------------------------------------------------------


def test_s30_many_idle_and_broken_connections_leave_room_for_others(product: Product) -> None:
    with ExitStack() as stack:
        for number in range(150):
            client = stack.enter_context(RawClient(product.stack, tls=number % 3 == 0))
            if number % 3 == 1:
                client.send(b"\x16\x03\x01\x02\x00")  # half a ClientHello
        began = time.monotonic()
        product.check()
        assert time.monotonic() - began < 2


def test_s30_requests_that_are_given_up_at_once_do_not_starve_others(product: Product) -> None:
    """The pattern of HTTP/2's rapid reset, with connections."""
    product.api.on("/slow", lambda connection, _request: time.sleep(5))
    for _ in range(100):
        with RawClient(product.stack, tls=True) as client:
            client.send(get(product, "/slow"))
    began = time.monotonic()
    product.check()
    assert time.monotonic() - began < 3
