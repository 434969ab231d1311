"""Error pages in the form the client asks for, always with the request id."""

import json

import pytest

from pipeops.control.public.pages import page, redirect
from pipeops.control.public.trouble import WORDS, Trouble
from pipeops.http1.head import read_block

OFFLINE = WORDS[Trouble.OFFLINE]
BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def made(*lines: bytes, close: bool = False) -> tuple[int, str, str]:
    block = read_block(b"".join(line + b"\r\n" for line in (b"Host: a", *lines)))
    code, head, body = page(OFFLINE, block, "f00d", retry_after=0, close=close)
    assert f"Content-Length: {len(body)}\r\n" in head.decode()
    return code, head.decode(), body.decode()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER, "text/html"), (b"*/*", "text/plain"), (b"application/json", "application/json"),
        (b"text/html;q=0.1, application/json;q=0.9", "application/json"), (b"image/png", "text/plain"),
        (b"text/html;q=0", "text/plain"), (b"APPLICATION/JSON", "application/json"),
    ],
)  # fmt: skip
def test_the_client_gets_what_it_accepts(accept: bytes, kind: str) -> None:
    code, head, body = made(b"Accept: " + accept)
    assert code == 503
    assert f"Content-Type: {kind}; charset=utf-8\r\n" in head
    assert "f00d" in body
    assert "Retry-After: 10\r\n" in head
    if kind == "application/json":
        assert json.loads(body)["error"]["code"] == 503


def test_pages_load_nothing_and_run_nothing() -> None:
    _, head, body = made(b"Accept: text/html")
    assert "default-src 'none'" in head
    assert "nosniff" in head
    assert "http" not in body.replace("http-equiv", "")
    assert "<script" not in body


def test_grpc_gets_a_status_of_its_own() -> None:
    code, head, body = made(b"Content-Type: application/grpc+proto", b"Accept: text/html")
    assert (code, body) == (200, "")
    assert "grpc-status: 14\r\n" in head
    assert "f00d" in head


def test_a_head_that_could_not_be_read_gets_plain_text() -> None:
    code, head, body = page(WORDS[Trouble.BAD_REQUEST], None, "f00d", retry_after=3, close=True)
    assert code == 400
    assert b"Connection: close\r\n" in head
    assert b"Retry-After: 3\r\n" in head
    assert b"f00d" in body


def test_a_redirect_names_where_to_go() -> None:
    head = redirect(308, "https://a/x", "f00d", close=True)
    assert head.startswith(b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a/x\r\n")
    assert b"Connection: close\r\n\r\n" in head
