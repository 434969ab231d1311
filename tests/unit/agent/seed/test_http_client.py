"""Plain calls to the control plane."""

import asyncio
from typing import Any

import pytest

from pipeops.agent.control_plane import ControlPlaneError, ControlPlaneUrl, RegistrationRefused
from pipeops.agent.seed.http_client import MAX_ANSWER, ControlHttp


class Writer:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        pass


async def call(
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | OSError,
    *,
    base: str = "http://127.0.0.1:1/base/",
) -> tuple[bytes, Writer, dict[str, Any]]:
    writer, opened = Writer(), {}

    async def connect(**options: Any) -> Any:
        opened.update(options)
        if isinstance(answer, OSError):
            raise answer
        reader = asyncio.StreamReader()
        reader.feed_data(answer)
        reader.feed_eof()
        return reader, writer

    monkeypatch.setattr(asyncio, "open_connection", connect)
    client = ControlHttp(
        ControlPlaneUrl.parse(base), lambda: "tok", ssl_context=lambda: None, proxy=lambda _: None
    )
    return await client.call("POST", "/api/v1/x", b"{}"), writer, opened


async def test_a_call_keeps_the_base_path_and_shows_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body, writer, opened = await call(monkeypatch, b"HTTP/1.1 201 X\r\nContent-Length: 2\r\n\r\nok")
    assert body == b"ok"
    assert writer.data.startswith(b"POST /base/api/v1/x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert b"Authorization: Bearer tok\r\n" in writer.data
    assert writer.data.endswith(b"\r\n\r\n{}")
    assert opened["ssl"] is None


async def test_a_secure_control_plane_is_called_with_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\nuntil the end"
    body, _, opened = await call(monkeypatch, answer, base="https://c.test")
    assert body == b"until the end"
    assert (opened["host"], opened["port"], opened["server_hostname"]) == ("c.test", 443, "c.test")
    assert opened["ssl"] is not None


async def test_errors_show_the_answers_body_cut_and_redacted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b"token=pipeops_c_verysecretverysecret quota exceeded " + b"x" * 5000
    answer = b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with pytest.raises(ControlPlaneError) as raised:
        await call(monkeypatch, answer)
    text = str(raised.value)
    assert "answered 500" in text
    assert "verysecret" not in text
    assert len(text) < 700
    assert raised.value.status == 500


async def test_refusals_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RegistrationRefused):
        await call(monkeypatch, b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        OSError("no route"),
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 X\r\n\r\n" + b"x" * (MAX_ANSWER + 1),
    ],
    ids=["unreachable", "nothing", "nonsense", "too much"],
)
async def test_what_is_no_answer(monkeypatch: pytest.MonkeyPatch, answer: bytes | OSError) -> None:
    with pytest.raises(ControlPlaneError):
        await call(monkeypatch, answer)


async def test_an_answer_is_there_whatever_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = asyncio.StreamReader()
    answers.feed_data(b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy")

    async def connect(**_: Any) -> Any:
        return answers, Writer()

    monkeypatch.setattr(asyncio, "open_connection", connect)
    client = ControlHttp(
        ControlPlaneUrl.parse("http://127.0.0.1:1"),
        lambda: "tok",
        ssl_context=lambda: None,
        proxy=lambda _: None,
    )
    answer = await client.exchange("POST", "/x", b"{}")
    assert (answer.status, answer.body, answer.retry_after) == (429, b"busy", 7.0)
