"""Requests no honest client sends: each gets its status and one clear line, and nothing reaches the cluster."""

import json
import time

import pytest

from tests.integration.conftest import CLUSTER, Product
from tests.support.rawhttp import RawClient

pytestmark = [pytest.mark.slow]

SMUGGLED = f"/k8s/{CLUSTER}/smuggled"


def request(
    product: Product, *lines: str, method: str = "GET", path: str = "/api/v1/judged"
) -> bytes:
    """A valid request with further header lines, as bytes."""
    head = [
        f"{method} /k8s/{CLUSTER}{path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {product.token}",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


SECOND = f"GET {SMUGGLED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer TOKEN\r\n\r\n"

# Each: what comes after a valid request line and Authorization, the status, a word of the message.
CORPUS = {
    "CL.TE": (["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n" + SECOND, 400, "Transfer-Encoding"),
    "TE.CL": (["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n" + SECOND, 400, "Transfer-Encoding"),
    "TE.TE": (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], "0\r\n\r\n" + SECOND, 400, "Transfer-Encoding"),
    "TE list": (["Transfer-Encoding: chunked, identity"], "0\r\n\r\n" + SECOND, 400, "Transfer-Encoding"),
    "TE obfuscated": (["Transfer-Encoding: xchunked"], "0\r\n\r\n" + SECOND, 400, "Transfer-Encoding"),
    "TE with a space before the colon": (["Transfer-Encoding : chunked"], "0\r\n\r\n" + SECOND, 400, ""),
    "two lengths": (["Content-Length: 3", "Content-Length: 4"], "abcd" + SECOND, 400, "Content-Length"),
    "length list": (["Content-Length: 3, 3"], "abc" + SECOND, 400, "Content-Length"),
    "negative length": (["Content-Length: -1"], SECOND, 400, ""),
    "signed length": (["Content-Length: +3"], "abc" + SECOND, 400, ""),
    "hexadecimal length": (["Content-Length: 0x3"], "abc" + SECOND, 400, ""),
    "huge length": (["Content-Length: 99999999999999999999999"], SECOND, 400, ""),
    "folded header": (["X-One: a", " b"], SECOND, 400, ""),
    "NUL in a value": (["X-One: a\0b"], SECOND, 400, ""),
    "CR in a value": (["X-One: a\rX-Two: b"], SECOND, 400, ""),
    "LF in a value": (["X-One: a\nX-Two: b"], SECOND, 400, ""),
    "no colon": (["X-One"], SECOND, 400, ""),
    "empty name": ([": x"], SECOND, 400, ""),
    "two hosts": (["Host: y"], SECOND, 400, "host"),
    "two authorizations": (["Authorization: Bearer other"], SECOND, 400, "authorization"),
    "expectation": (["Expect: magic"], SECOND, 417, "100-continue"),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_s27_contradictions_are_refused_and_nothing_after_them_is_read(
    product: Product, name: str
) -> None:
    lines, rest, status, word = CORPUS[name]
    with RawClient(product.stack) as client:
        client.send(
            request(product, *lines, method="POST") + rest.replace("TOKEN", product.token).encode()
        )
        code, body = client.response()
        assert code == status, body
        document = json.loads(body)
        assert (document["kind"], document["code"]) == ("Status", status)
        assert word in document["message"]
        assert client.to_the_end() == b""
    assert product.api.seen("/smuggled") == []
    assert product.api.seen("/api/v1/judged") == []
    product.check()


LINES = {
    "garbage": (b"\x01\x02\x03\xff\r\n\r\n", 400),
    "TLS to a TLS port's inside": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/9": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "tab": (b"GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "control character in the target": (b"GET /a\x7f HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "NUL in the target": (b"GET /a\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "authority form": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "absolute form": (b"GET http://example.com/k8s/fake/version HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "no Host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "bare LF": (b"GET /health HTTP/1.1\nHost: x\n\n\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", LINES)
def test_malformed_request_lines_get_one_status_and_the_connection_ends(
    product: Product, name: str
) -> None:
    data, status = LINES[name]
    with RawClient(product.stack) as client:
        client.send(data)
        code, body = client.response()
        assert code == status, body
        assert json.loads(body)["message"]
        if status != 404:
            assert client.closed
    product.check()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 100_000 + b"\r\n",
    ],
    ids=["one-MiB-header", "one-MiB-target", "hundred-thousand-headers"],
)
def test_s31_heads_above_the_limit_get_431(product: Product, head: bytes) -> None:
    with RawClient(product.stack) as client:
        client.send(head)
        code, _ = client.head()
        # A peer that still sends when we close may lose our answer to the reset that TCP makes of it.
        assert code in (431, 0)
    with RawClient(product.stack) as client:
        client.send(head[: 80 * 1024])
        assert client.response()[0] == 431
    product.check()


@pytest.mark.parametrize(
    "extension",
    [
        "0\r\n\r\n",
        "5;x=\ny\r\nabcde\r\n0\r\n\r\n",
        "zz\r\n",
        "5\r\nabcdeXX\r\n",
        "fffffffffffffffff\r\n",
    ],
)
def test_s27_chunked_bodies_are_read_strictly(product: Product, extension: str) -> None:
    product.api.received.clear()
    with RawClient(product.stack) as client:
        client.send(
            request(product, "Transfer-Encoding: chunked", method="POST", path="/chunked")
            + extension.encode()
        )
        code, body = client.response()
    if extension == "0\r\n\r\n":
        assert (code, product.api.seen("/chunked")[0].body) == (200, b"")
    else:
        assert code == 400, body
        assert "malformed request body" in json.loads(body)["message"]
    product.check()


def test_a_chunked_body_arrives_framed_anew_without_extensions_and_trailers(
    product: Product,
) -> None:
    product.api.received.clear()
    with RawClient(product.stack) as client:
        client.send(request(product, "Transfer-Encoding: chunked", method="POST", path="/chunked"))
        client.send(b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nImpersonate-User: evil\r\n\r\n")
        assert client.response()[0] == 200
    (got,) = product.api.seen("/chunked")
    assert got.body == b"abcde"
    assert got.values("Impersonate-User") == ["system:admin"] or "evil" not in str(got)


def test_pipelined_requests_are_answered_in_order(product: Product) -> None:
    with RawClient(product.stack) as client:
        client.send(
            request(product, path="/version")
            + request(product, path="/one")
            + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        bodies = [client.response()[1] for _ in range(3)]
    assert b"gitVersion" in bodies[0]
    assert bodies[1:] == [b"{}", b"ok\n"]


def test_http10_is_answered_and_closed(product: Product) -> None:
    with RawClient(product.stack) as client:
        client.send(
            f"GET /k8s/{CLUSTER}/version HTTP/1.0\r\nAuthorization: Bearer {product.token}\r\n\r\n".encode()
        )
        status, body = client.response()
        assert status == 200
        assert b"gitVersion" in body
        assert client.closed


def test_expect_100_continue_is_answered_before_the_body(product: Product) -> None:
    product.api.received.clear()
    with RawClient(product.stack) as client:
        lines = ("Content-Length: 5", "Expect: 100-continue")
        client.send(request(product, *lines, method="POST", path="/expecting"))
        assert client.head()[0] == 100
        client.send(b"hello")
        assert client.response()[0] == 200
    assert product.api.seen("/expecting")[0].body == b"hello"


def test_s30_a_head_that_drips_is_given_up(product: Product) -> None:
    """Slow-loris: 20 s for a whole head, looked at every 5 s."""
    began = time.monotonic()
    with RawClient(product.stack, timeout=40) as client:
        client.drip(b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100, 0.5)
        assert client.response()[0] in (408, 0)
    assert time.monotonic() - began < 35
    product.check()


def test_cleartext_on_the_tls_port_is_closed_and_disturbs_nobody(product: Product) -> None:
    with RawClient(product.stack, tls=False) as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        client.to_the_end()
    product.check()


def test_half_closed_and_silent_connections_disturb_nobody(product: Product) -> None:
    with RawClient(product.stack, tls=False) as silent, RawClient(product.stack, tls=False) as half:
        half.finish()
        assert half.closed
        product.check()
        silent.send(b"")
