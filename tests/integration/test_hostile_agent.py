"""An agent with a valid token that breaks every rule: its tunnel ends, nobody else's does, memory stays bounded."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeops.protocol.exchange.native import Framing, encode_preface
from tests.integration.conftest import Product
from tests.support.faults import held
from tests.support.rawhttp import RawClient
from tests.support.wsraw import BINARY, CONTINUATION, PING, TEXT, RawSocket

pytestmark = [pytest.mark.slow]

EVIL = "evil"
MEMORY = 64 * 1024  # KiB that one hostile peer may cost


@pytest.fixture(scope="module")
def token(product: Product) -> str:
    return product.stack.add_cluster(EVIL).read_text().strip()


def connect(product: Product, token: str) -> RawSocket:
    """A tunnel after its handshake, nothing said yet."""
    plain = socket.create_connection(("127.0.0.1", product.stack.port), timeout=20)
    context = ssl.create_default_context(cafile=str(product.stack.ca_file))
    stream = context.wrap_socket(plain, server_hostname="127.0.0.1")
    lines = [
        "GET /api/v1/clusters/agent/ws HTTP/1.1", "Host: x", f"Authorization: Bearer {token}",
        "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", "",
    ]  # fmt: skip
    stream.sendall("\r\n".join(lines).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = stream.recv(65536)
        assert data, head
        head += data
    assert head.startswith(b"HTTP/1.1 101"), head
    return RawSocket(stream, masked=True, rest=head.partition(b"\r\n\r\n")[2])


@pytest.fixture
def evil(product: Product, token: str) -> Iterator[RawSocket]:
    """A tunnel that registered properly and negotiated the native dialect."""
    peer = connect(product, token)
    features = {"supports_streaming": True, "x_native": True}
    peer.say(
        "register", {"agent_id": "evil", "features": features, "x_epoch": time.time_ns()}, "r1"
    )
    peer.message("register_success")
    peer.message("gateway_hello")
    before = held(product.stack.control)["resident_kib"]
    yield peer
    peer.close()
    after = held(product.stack.control)
    assert after["resident_kib"] - before < MEMORY
    product.check()


def garbage(peer: RawSocket) -> None:
    peer.send(b"\xff" * 4096)


def wrong_yamux_version(peer: RawSocket) -> None:
    peer.send(b"\x01" + b"\0" * 11)


def a_frame_that_claims_100_megabytes(peer: RawSocket) -> None:
    peer.send(b"x" * 1000, claim=100_000_000)


def a_frame_that_claims_2_to_the_63(peer: RawSocket) -> None:
    peer.send(b"x" * 1000, claim=(1 << 63) - 1)


def a_text_of_20_megabytes(peer: RawSocket) -> None:
    piece = b"[" * (1 << 20)
    peer.send(piece, kind=TEXT, final=False)
    for _ in range(19):
        if not peer.send(piece, kind=CONTINUATION, final=False):
            return


def a_message_fragmented_for_ever(peer: RawSocket) -> None:
    peer.send(b"{", kind=TEXT, final=False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and peer.send(b" " * 65536, kind=CONTINUATION, final=False):
        pass


def unmasked_frames(peer: RawSocket) -> None:
    peer.raw(b"\x82\x05hello")


def reserved_opcode(peer: RawSocket) -> None:
    peer.send(b"x", kind=5)


def oversized_control_frame(peer: RawSocket) -> None:
    peer.send(b"x" * 1000, kind=PING)


ENDING: list[Callable[[RawSocket], None]] = [
    garbage,
    wrong_yamux_version,
    a_frame_that_claims_100_megabytes,
    a_frame_that_claims_2_to_the_63,
    a_text_of_20_megabytes,
    a_message_fragmented_for_ever,
    unmasked_frames,
    reserved_opcode,
    oversized_control_frame,
]


@pytest.mark.parametrize("attack", ENDING, ids=lambda attack: attack.__name__)
def test_s29_a_broken_rule_ends_the_tunnel_that_broke_it(
    evil: RawSocket, attack: Callable[[RawSocket], None]
) -> None:
    attack(evil)
    assert evil.closed_with() in (1002, 1003, 1006, 1007, 1009)


@pytest.mark.parametrize(
    "text",
    [
        b"not json", b"[]", b"{}", b'{"type":5}', b'{"type":"heartbeat"}', b'{"type":"register","payload":[]}',
        b'{"type":"heartbeat","payload":{"agent_id":{}}}', b'{"type":"x_stream_end","payload":{"stream":-1}}',
        b'{"type":"proxy_response","payload":{}}', b'{"type":"' + b"a" * 100_000 + b'","payload":{}}',
        b"[" * 100_000, b"\xff\xfe", b'{"type":"ping","payload":{},"request_id":"' + b"i" * 65536 + b'"}',
    ],
    ids=lambda text: text[:24].decode("latin-1"),
)  # fmt: skip
def test_a_message_that_makes_no_sense_is_logged_and_the_tunnel_goes_on(
    evil: RawSocket, text: bytes
) -> None:
    evil.send(text, kind=TEXT)
    evil.say("ping", {}, "alive")
    while evil.message("pong").get("request_id") != "alive":
        pass


# Chunked for whoever takes a lone LF for a line end, as Go does; five bytes for others.
TWO_FRAMINGS = (
    b"HTTP/1.1 200 OK\r\nA: x\rb\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
)


@pytest.mark.parametrize(
    "preface",
    [
        b"\xff" * 64,
        encode_preface(Framing.LENGTH, 200, 1 << 30, reusable=True),
        encode_preface(Framing.LENGTH, 200, 4, reusable=True) + b"junk",
        b"",
        encode_preface(Framing.LENGTH, 200, len(TWO_FRAMINGS), reusable=True)
        + TWO_FRAMINGS
        + b"hello",
    ],
    ids=["garbage", "huge-head", "head-without-http", "nothing-but-an-end", "lone-line-ends"],
)
def test_an_answer_that_is_none_becomes_502_for_its_client_only(
    product: Product, evil: RawSocket, preface: bytes
) -> None:
    """The hostile agent answers the first stream that is opened to it."""
    with RawClient(product.stack, timeout=20) as client:
        client.send(
            f"GET /k8s/{EVIL}/api/v1/pods HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {product.token}\r\n\r\n".encode()
        )
        stream = _opened_stream(evil)
        header = b"\0\0\0\x04" if not preface else b"\0\0\0\0"
        evil.send(header + stream + len(preface).to_bytes(4, "big") + preface)
        if preface:
            evil.send(b"\0\0\0\x04" + stream + b"\0\0\0\0")
        status, _ = client.response()
        assert status == 502


def test_s13_s27_an_agent_cannot_answer_the_clients_next_request(
    product: Product, evil: RawSocket
) -> None:
    """Bytes behind the end of an answer would be read as the answer of another cluster."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    preface = encode_preface(Framing.LENGTH, 200, len(head), reusable=True)
    with RawClient(product.stack, timeout=20) as client:
        for cluster in (EVIL, "fake"):
            client.send(
                f"GET /k8s/{cluster}/version HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {product.token}\r\n\r\n".encode()
            )
        stream = _opened_stream(evil)
        answer = preface + head + b"{}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        evil.send(b"\0\0\0\x04" + stream + len(answer).to_bytes(4, "big") + answer)
        status, body = client.response()
        assert (status, b"forged" in body) == (502, False)
        status, body = client.response()
        assert (status, b"forged" in body) == (200, False), "the other cluster's own answer"


def _opened_stream(peer: RawSocket) -> bytes:
    """The id of the first stream of which a Data frame comes."""
    received = b""
    while True:
        got = peer.receive()
        assert got is not None
        if got[0] != BINARY:
            continue
        received += got[1]
        while len(received) >= 12:
            kind, size = received[1], int.from_bytes(received[8:12], "big")
            if kind == 0 and size:
                return received[4:8]
            received = received[12 + (size if kind == 0 else 0) :]


def test_a_tunnel_that_is_opened_and_says_nothing_is_closed(product: Product, token: str) -> None:
    """It neither registers nor answers pings: given up on after the silence that ends every tunnel."""
    peer = connect(product, token)
    began = time.monotonic()
    with suppress(OSError):
        peer._connection.settimeout(40)
        while peer._connection.recv(4096):
            pass
    peer.close()
    assert time.monotonic() - began < 35
    product.check()


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic x", "", "Bearer " + "a" * 5000])
def test_without_a_valid_token_there_is_no_101(product: Product, header: str) -> None:
    with RawClient(product.stack) as client:
        line = f"Authorization: {header}\r\n" if header else ""
        client.send(
            "GET /api/v1/clusters/agent/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{line}\r\n".encode()
        )
        assert client.response()[0] == 401


def test_s13_a_further_lane_needs_the_sessions_secret(product: Product, token: str) -> None:
    with RawClient(product.stack) as client:
        client.send(
            f"GET /api/v1/clusters/agent/ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-PipeOps-Lane: 1\r\nX-PipeOps-Session: guess\r\n\r\n".encode()
        )
        assert client.head()[0] == 101
        assert b"no session of this agent has this secret" in client.to_the_end()
    product.check()


def test_a_second_agent_for_a_cluster_that_has_one_is_told_so(
    product: Product, evil: RawSocket, token: str
) -> None:
    other = connect(product, token)
    other.say("register", {"agent_id": "somebody-else"}, "r2")
    error = other.message("error")["payload"]
    assert "is served by another agent (evil)" in error["error"]
    assert other.closed_with() == 1008
    other.close()
    evil.say("ping", {}, "alive")
    evil.message("pong")


def test_no_file_of_the_control_plane_grew_without_bound(product: Product) -> None:
    log: Path = product.stack.log("control")
    assert log.stat().st_size < 4 << 20
