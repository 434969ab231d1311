"""From an agent's upgrade request to its peer: the token, and what its headers may say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pipeops.control.auth.errors import Unauthenticated
from pipeops.control.auth.grants import ClusterGrant
from pipeops.control.sessions import acceptor as module
from pipeops.control.sessions.acceptor import AgentAcceptor
from pipeops.control.sessions.registry import MAX_LANES, SessionRegistry
from pipeops.http1.head import read_block
from pipeops.protocol.limits import Limits
from tests.support.transports import RecordingTransport

GRANT = ClusterGrant("id", "prod", "t", None)


class FakeAuthenticator:
    """Knows one token."""

    async def authenticate(self, token: bytes) -> ClusterGrant:
        if token != b"good":
            raise Unauthenticated("unknown token")
        return GRANT


def acceptor() -> AgentAcceptor:
    return AgentAcceptor(
        authenticator=FakeAuthenticator(),  # type: ignore[arg-type]
        registry=SessionRegistry(now=lambda: 0.0),
        directory=None,  # type: ignore[arg-type]
        credentials=None,  # type: ignore[arg-type]
        scope=None,  # type: ignore[arg-type]
        limits=Limits(),
        heartbeat_interval=5.0,
        now=lambda: 0.0,
        wall=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("value", [b"Bearer good", b"bearer good", b"Bearer  good "])
async def test_the_scheme_is_read_as_the_rfc_has_it(value: bytes) -> None:
    assert await acceptor().authenticate(value) is GRANT


@pytest.mark.parametrize("value", [None, b"", b"Basic good", b"good", b"Bearer", b"Bearer bad"])
async def test_anything_else_is_no_credential(value: bytes | None) -> None:
    with pytest.raises(Unauthenticated):
        await acceptor().authenticate(value)


def accepted(
    monkeypatch: pytest.MonkeyPatch, lines: bytes
) -> tuple[dict[str, Any], dict[str, str]]:
    made: dict[str, Any] = {}
    answer: dict[str, str] = {}

    class FakePeer:
        def __init__(self, context: Any, grant: ClusterGrant, **options: Any) -> None:
            made.update(options, grant=grant)
            self.link = "link"

    def accept(transport: Any, received: bytes, make_handler: Any, headers: Any) -> None:
        assert make_handler() == "link"
        answer.update(headers)

    monkeypatch.setattr(module, "AgentPeer", FakePeer)
    monkeypatch.setattr(module.websocket, "accept", accept)
    acceptor().accept(RecordingTransport(), b"GET", read_block(lines), GRANT)
    return made, answer


def test_an_agent_is_told_what_we_speak_and_need_not_send(monkeypatch: pytest.MonkeyPatch) -> None:
    made, answer = accepted(monkeypatch, b"")
    assert set(answer["X-PipeOps-Features"].replace(",", " ").split()) == {
        "native",
        "no-service-account-token",
    }
    assert made == {
        "grant": GRANT,
        "lane_index": 0,
        "secret": "",
        "dialled_instance": "",
        "dialled_epoch": 0,
        "gateway": False,
    }


def test_a_further_lane_names_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = accepted(
        monkeypatch,
        b"X-PipeOps-Lane: 1\r\nX-PipeOps-Session: s3\r\nX-PipeOps-Instance: i\r\nX-PipeOps-Epoch: 7\r\n",
    )
    assert (made["lane_index"], made["secret"]) == (1, "s3")
    assert (made["dialled_instance"], made["dialled_epoch"]) == ("i", 7)


@pytest.mark.parametrize("number", [b"-1", b"x", b"1.5", b"9" * 40, b"\xb2"])
def test_numbers_that_are_none_count_as_none(
    monkeypatch: pytest.MonkeyPatch, number: bytes
) -> None:
    made, _ = accepted(monkeypatch, b"X-PipeOps-Lane: " + number + b"\r\n")
    assert made["lane_index"] == 0


def test_numbers_and_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = accepted(
        monkeypatch, b"X-PipeOps-Lane: 99\r\nX-PipeOps-Instance: " + b"i" * 999 + b"\r\n"
    )
    assert made["lane_index"] == MAX_LANES
    assert len(made["dialled_instance"]) == 253
