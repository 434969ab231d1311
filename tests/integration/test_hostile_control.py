"""A control plane that lies to the agent: it keeps its cluster's credential, says what is wrong, and dials again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag, StreamKind, fixed_part
from pipeops.protocol.exchange.principal import Principal, encode_principal
from tests.support.fakeapi import FakeApi
from tests.support.faults import held, log_records
from tests.support.processes import Child, wait_until
from tests.support.programs_of_ours import agent_process
from tests.support.wsraw import BINARY, CONTINUATION, TEXT, HostileControl, RawSocket

pytestmark = [pytest.mark.slow]

NATIVE = "native,no-service-account-token"
CANARY = "canary-service-account-token"


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    with FakeApi() as running:
        yield running


@contextmanager
def agent_of(
    control: HostileControl, api: FakeApi, directory: Path, *extra: str
) -> Iterator[Child]:
    child = agent_process(directory, control.url, api.kubeconfig(directory / "kubeconfig"), *extra)
    try:
        yield child
    finally:
        child.stop()
        assert "Traceback" not in child.log.read_text(errors="replace")


def welcome(peer: RawSocket, **more: object) -> dict[str, object]:
    """Answer the registration and begin multiplexing; returns what the agent sent to register."""
    message = peer.message("register")
    answer = {"cluster_id": "c1", "cluster_uuid": "c1", **more}
    peer.say("register_success", answer, message["request_id"])
    peer.say(
        "gateway_hello", {"use_yamux": True, "yamux_config": {"max_stream_window_size": 262144}}
    )
    peer.message("gateway_hello_ack")
    payload: dict[str, object] = message["payload"]
    return payload


def said(child: Child, text: str, timeout: float = 30) -> None:
    wait_until(
        lambda: text in child.log.read_text(errors="replace"),
        text,
        timeout=timeout,
        children=[child],
    )


ATTACKS: dict[str, Callable[[RawSocket], None]] = {
    "garbage": lambda peer: peer.send(b"\xff" * 4096),
    "100-MB-frame": lambda peer: peer.send(b"x", claim=100_000_000),
    "20-MB-text": lambda peer: [peer.send(b" " * (1 << 20), kind=TEXT if not i else CONTINUATION, final=False) for i in range(20)],
    "masked-frame": lambda peer: peer.raw(b"\x82\x81\0\0\0\0x"),
    "reserved-opcode": lambda peer: peer.send(b"x", kind=6),
    "go-away-and-silence": lambda peer: peer.send(b"\0\x03\0\0" + b"\0" * 8),
}  # fmt: skip


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "go-away-and-silence"])
def test_s29_a_broken_rule_ends_the_tunnel_and_the_agent_dials_again(
    api: FakeApi, tmp_path: Path, attack: str
) -> None:
    attempts: list[float] = []

    def script(peer: RawSocket) -> None:
        welcome(peer)
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            ATTACKS[attack](peer)
            codes.append(peer.closed_with())
        else:
            peer.closed_with(timeout=60)

    codes: list[int] = []
    with (
        HostileControl(script, features=NATIVE) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        wait_until(
            lambda: len(attempts) == 2, "a second registration", timeout=40, children=[agent]
        )
        assert codes[0] in (1002, 1003, 1006, 1007, 1009)
        assert held(agent)["resident_kib"] < 120 * 1024
        said(agent, "control plane connection lost")


@pytest.mark.parametrize(
    "text",
    [b"nonsense", b"[]", b'{"type":"proxy_request","payload":5}', b'{"type":"gateway_hello","payload":{"use_yamux":"x"}}',
     b'{"type":"register_success","payload":{"cluster_id":"other"}}', b"[" * 100_000, b"\xff"],
    ids=lambda text: text[:20].decode("latin-1"),
)  # fmt: skip
def test_messages_that_make_no_sense_change_nothing(
    api: FakeApi, tmp_path: Path, text: bytes
) -> None:
    def script(peer: RawSocket) -> None:
        welcome(peer)
        peer.send(text, kind=TEXT)
        peer.say("ping", {}, "alive")
        while peer.message("pong").get("request_id") != "alive":
            pass
        alive.append(1)
        peer.closed_with(timeout=60)

    alive: list[int] = []
    with (
        HostileControl(script, features=NATIVE) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        wait_until(lambda: bool(alive), "a pong", timeout=30, children=[agent])


def head(
    path: bytes, principal: bytes, *, flags: int = 0, length: int = 0, block: bytes = b""
) -> bytes:
    """The opening of a native stream, as a lying control plane may write it."""
    http = b"GET %b HTTP/1.1\r\n%b\r\n" % (path, block)
    fixed = fixed_part(
        StreamKind.KUBE_API, flags, 0, length, b"\1" * 16, 0, len(principal), len(http)
    )
    return fixed + principal + http


JANE = encode_principal(Principal(user="jane", groups=("team",)))

# Each: the opening, a word of the answer; none may reach the API server.
OPENINGS = {
    "no principal": (head(b"/api", b""), b"403"),
    "principal is garbage": (head(b"/api", b"\xc1\xc1"), b"400"),
    "system:masters": (head(b"/api", encode_principal(Principal(user="x", groups=("system:masters",)))), b"403"),
    "system user": (head(b"/api", encode_principal(Principal(user="system:admin", groups=()))), b"403"),
    "line break in the target": (head(b"/api HTTP/1.1\r\nX: y\r\n\r\nGET /secret", JANE), b"400"),
    "relative target": (head(b"api", JANE), b"400"),
    "absolute target": (head(b"http://10.0.0.1/", JANE), b"400"),
    "folded header": (head(b"/api", JANE, block=b"X: 1\r\n y\r\n"), b"400"),
    "two lengths": (head(b"/api", JANE, block=b"Content-Length: 1\r\nContent-Length: 2\r\n"), b"400"),
    "upgrade not in the flags": (head(b"/api", JANE, block=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"), b"400"),
    "upgrade to h2c": (head(b"/api", JANE, flags=int(HeadFlag.UPGRADE), block=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), b"400"),
}  # fmt: skip


@pytest.fixture(scope="module")
def stream_answers(api: FakeApi, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the agent answered to each opening, all on one tunnel."""
    answers: dict[str, bytes] = {}

    def script(peer: RawSocket) -> None:
        if answers:
            return
        welcome(peer)
        streams = {}
        for number, (name, (opening, _)) in enumerate(OPENINGS.items()):
            stream = (2 * number + 2).to_bytes(4, "big")
            streams[stream] = name
            peer.send(
                b"\0\0\0\x05" + stream + len(opening).to_bytes(4, "big") + opening
            )  # SYN, FIN
        received = b""
        while len(answers) < len(OPENINGS):
            got = peer.receive(timeout=20)
            assert got is not None
            if got[0] == BINARY:
                received += got[1]
            while len(received) >= 12:
                kind, size = received[1], int.from_bytes(received[8:12], "big")
                end = 12 + (size if kind == 0 else 0)
                if len(received) < end:
                    break
                if kind == 0 and size:
                    answers.setdefault(streams[received[4:8]], received[12:end])
                received = received[end:]

    directory = tmp_path_factory.mktemp("agent")
    with (
        HostileControl(script, features=NATIVE) as control,
        agent_of(control, api, directory) as agent,
    ):
        wait_until(
            lambda: len(answers) == len(OPENINGS) or bool(control.errors),
            "answers",
            timeout=60,
            children=[agent],
        )
        assert control.errors == []
        answers["log"] = agent.log.read_bytes()
    return answers


@pytest.mark.parametrize("name", OPENINGS)
def test_s09_s10_the_agent_judges_every_request_itself(
    api: FakeApi, stream_answers: dict[str, bytes], name: str
) -> None:
    word = OPENINGS[name][1]
    assert b"HTTP/1.1 " + word in stream_answers[name], stream_answers[name]
    assert api.received == []
    assert {each.method for each in api.own} == {"GET"}
    assert CANARY.encode() not in stream_answers["log"]


@pytest.mark.parametrize(("features", "sent"), [(NATIVE, False), ("", True)])
def test_s26_the_service_account_token_stays_unless_the_control_plane_needs_it(
    api: FakeApi, tmp_path: Path, features: str, sent: bool
) -> None:
    registered: list[dict[str, object]] = []

    def script(peer: RawSocket) -> None:
        registered.append(peer.message("register")["payload"])

    with (
        HostileControl(script, features=features) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        wait_until(lambda: bool(registered), "a registration", timeout=30, children=[agent])
    assert (CANARY in str(registered[0])) is sent


def test_s26_never_means_never(api: FakeApi, tmp_path: Path) -> None:
    registered: list[dict[str, object]] = []

    def script(peer: RawSocket) -> None:
        registered.append(peer.message("register")["payload"])

    (tmp_path / "config.yaml").write_text("agent: {send_service_account_token: never}\n")
    options = ("--config", str(tmp_path / "config.yaml"))
    with HostileControl(script) as control, agent_of(control, api, tmp_path, *options) as agent:
        wait_until(lambda: bool(registered), "a registration", timeout=30, children=[agent])
    assert CANARY not in str(registered[0])


HTML = b"<html><body>Please log in to the hotel</body></html>"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(HTML), HTML), "answered 200 instead of opening the tunnel"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "has no agent endpoint (404); is this the control plane's URL?"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad", "answered 502 instead of opening the tunnel"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the connection was closed before the tunnel was up"),
        (b"", "the connection was closed before the tunnel was up"),
    ],
    ids=["login-page", "404", "502", "ssh", "closes"],
)  # fmt: skip
def test_an_answer_that_is_no_tunnel_is_told_in_words(
    api: FakeApi, tmp_path: Path, answer: bytes, words: str
) -> None:
    with (
        HostileControl(lambda peer: None, answer=answer) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        said(agent, "control plane not reached")
        said(agent, words)
        assert agent.running  # transient: tried again for a minute


def test_s04_s22_a_redirect_is_never_followed(api: FakeApi, tmp_path: Path) -> None:
    with HostileControl(lambda peer: None) as elsewhere:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        with (
            HostileControl(lambda peer: None, answer=moved) as control,
            agent_of(control, api, tmp_path) as agent,
        ):
            said(agent, "302")
            time.sleep(0.5)
            assert elsewhere.requests == []


def test_r15_retry_after_is_honoured(api: FakeApi, tmp_path: Path) -> None:
    busy = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n"
    with (
        HostileControl(lambda peer: None, answer=busy) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        said(agent, "429")
        (first, *_) = [
            each for each in log_records(agent.log) if each["msg"] == "control plane not reached"
        ]
        assert first["retry_in"] >= 4
        assert len(control.requests) == 1


@pytest.mark.parametrize(
    ("payload", "words"),
    [({}, "invalid"), ({"cluster_id": ""}, "has no cluster_id"), ({"cluster_id": 5}, "invalid")],
)
def test_an_invalid_registration_answer_ends_the_agent_at_once(
    api: FakeApi, tmp_path: Path, payload: object, words: str
) -> None:
    def script(peer: RawSocket) -> None:
        peer.say("register_success", payload, peer.message("register")["request_id"])
        peer.closed_with()

    with (
        HostileControl(script, features=NATIVE) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        wait_until(lambda: not agent.running, "its end", timeout=30)
        assert agent._process.returncode == 1
        last = log_records(agent.log)[-1]
        assert last["level"] == "error"
        assert words in last["error"]


def test_a_control_plane_that_stops_reading_and_answering_is_left(
    api: FakeApi, tmp_path: Path
) -> None:
    """Half-open: the socket is there, nobody is behind it."""
    registered: list[float] = []

    def script(peer: RawSocket) -> None:
        welcome(peer)
        registered.append(time.monotonic())
        time.sleep(40)

    with (
        HostileControl(script, features=NATIVE) as control,
        agent_of(control, api, tmp_path) as agent,
    ):
        wait_until(lambda: len(registered) == 2, "a second tunnel", timeout=60, children=[agent])
        assert registered[1] - registered[0] <= 20
        said(agent, "no answer for")


def test_unknown_stream_lengths_without_bodies_do_not_hang(api: FakeApi) -> None:
    """Guards the helper above: an unknown length is not zero."""
    assert UNKNOWN_LENGTH.to_bytes(8, "big") in head(b"/", JANE, length=UNKNOWN_LENGTH)
