"""Our session against hashicorp/yamux over loopback TCP, in both roles, with both opening streams."""

import hashlib
import json
import random
import select
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeops.protocol.errors import SessionDraining
from pipeops.protocol.limits import Limits
from pipeops.protocol.mux import GoAwayCode, Role, Session, Termination
from tests.support import gobuild
from tests.support.processes import die_with_parent

pytestmark = [pytest.mark.go, pytest.mark.slow]

LIMITS = Limits.compatible()


@pytest.fixture(scope="module")
def yamuxpeer():
    built = gobuild.build(Path(__file__).parent / "yamuxpeer", "yamuxpeer")
    if built.path is None:
        pytest.skip(built.reason)
    return built.path


class Peer:
    """The Go program, listening; its last line is the result."""

    def __init__(self, binary, mode, role, *options):
        self.process = subprocess.Popen(
            [binary, "-mode", mode, "-role", role, "-listen", "tcp:127.0.0.1:0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock taken
        )
        _, port = json.loads(self.process.stdout.readline())["address"].rsplit(":", 1)
        self.address = ("127.0.0.1", int(port))

    def result(self):
        out, log = self.process.communicate(timeout=20)
        result = json.loads(out.splitlines()[-1])
        assert result["event"] == "result", log
        return result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class Driver:
    """Moves bytes between one session and one socket until a condition holds."""

    def __init__(self, role, address, accept=lambda stream: None, limits=LIMITS):
        self.errors = []
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)
        self.session = Session(
            role,
            limits,
            accept=accept,
            wake=lambda: None,
            on_sink_error=lambda stream, error: self.errors.append(error),
            now=time.monotonic(),
        )
        self.buffer = bytearray(262_144)
        self.unsent = memoryview(b"")
        self.lost = False

    def run(self, until, seconds=30):
        give_up = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < give_up, "nothing more happened"
            assert not self.lost, f"connection lost, {self.session.terminated}"
            self.step()

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end)

    def step(self):
        session = self.session
        if session.next_deadline() is not None and time.monotonic() >= session.next_deadline():
            session.handle_deadline(now=time.monotonic())
        self.fill()
        writing = [self.socket] if self.unsent else []
        readable, writable, _ = select.select([self.socket], writing, [], 0.02)
        if writable:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except (ConnectionResetError, BrokenPipeError):
                self.unsent = memoryview(b"")  # what the peer said last may still be readable
        if readable:
            self.receive()

    def fill(self):
        if self.unsent:
            self.session.pause()
            return
        self.session.resume()
        batch = self.session.data_to_send()
        if batch is not None:
            self.unsent = memoryview(batch)[self.session.limits.headroom :]

    def receive(self):
        try:
            size = self.socket.recv_into(self.buffer)
        except ConnectionResetError:
            size = 0
        if not size:
            self.lost = True
            self.session.close(Termination(GoAwayCode.INTERNAL_ERROR, "connection lost"))
            return
        self.session.receive_data(memoryview(self.buffer)[:size], now=time.monotonic())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        assert not self.errors


class Uploader:
    """Sends a payload as fast as it may, half-closes, and hashes what comes back."""

    def __init__(self, payload, chunk=50_000):
        self.payload = memoryview(payload)
        self.chunk = chunk
        self.stream = None
        self.hash = hashlib.sha256()
        self.received = 0
        self.finished = False
        self.resets = 0
        self.most_pending = 0

    def start(self, session):
        self.stream = session.open(self)
        self.on_writable()
        return self

    def on_writable(self):
        while not self.stream.local_finished:
            piece, self.payload = self.payload[: self.chunk], self.payload[self.chunk :]
            go_on = self.stream.send(piece, not self.payload)
            self.most_pending = max(self.most_pending, self.stream.pending)
            if not go_on:
                return

    def on_data(self, data, fin):
        self.hash.update(data)
        self.received += len(data)
        self.finished = fin
        self.stream.consumed(len(data))

    def on_reset(self):
        self.resets += 1


class Echo:
    """Sends back what comes; credit returns only while we are not stopped ourselves."""

    def __init__(self, stream):
        self.stream = stream
        self.held = 0
        self.resets = 0
        self.finished = False

    def on_data(self, data, fin):
        self.finished = fin
        if self.stream.send(data, fin) and not self.held:
            self.stream.consumed(len(data))
        else:
            self.held += len(data)

    def on_writable(self):
        held, self.held = self.held, 0
        self.stream.consumed(held)

    def on_reset(self):
        self.resets += 1


def payload(size, seed=1):
    return random.Random(seed).randbytes(size)


ROLES = pytest.mark.parametrize(
    ("ours", "theirs"), [(Role.SERVER, "client"), (Role.CLIENT, "server")]
)


@ROLES
@pytest.mark.parametrize(
    ("streams", "size", "window"),
    [
        (250, 700, 262_144),
        (40, 300_000, 262_144),
        (3, 6_000_000, 262_144),
        (2, 6_000_000, 1_048_576),
    ],
)
def test_go_echoes_what_we_send(yamuxpeer, ours, theirs, streams, size, window):
    # Not more than 256 at once: beyond its accept backlog hashicorp/yamux resets streams.
    options = ("-streams", str(streams), "-window", str(window))
    with Peer(yamuxpeer, "echo", theirs, *options) as peer, Driver(ours, peer.address) as driver:
        payloads = [payload(size, seed) for seed in range(streams)]
        uploads = [Uploader(data).start(driver.session) for data in payloads]
        driver.run(lambda: all(upload.finished for upload in uploads))
        driver.run(lambda: not driver.session.streams)
        for upload, sent in zip(uploads, payloads, strict=True):
            assert upload.hash.digest() == hashlib.sha256(sent).digest()
            assert upload.most_pending <= LIMITS.high_water + upload.chunk
        driver.run(lambda: driver.lost)
        result = peer.result()
    assert result["ok"], result
    assert result["received"] == streams * size


@ROLES
@pytest.mark.parametrize(
    ("streams", "size", "chunk"), [(500, 700, 32_768), (40, 300_000, 1_000), (3, 6_000_000, 32_768)]
)
def test_we_echo_what_go_sends(yamuxpeer, ours, theirs, streams, size, chunk):
    options = ("-streams", str(streams), "-bytes", str(size), "-chunk", str(chunk))
    with (
        Peer(yamuxpeer, "send", theirs, *options, "-parallel", "64") as peer,
        Driver(ours, peer.address, Echo) as driver,
    ):
        driver.run(lambda: driver.lost)
        result = peer.result()
    assert result["ok"], result
    assert result["received"] == streams * size
    assert not driver.session.streams


def test_windows_may_grow_towards_a_go_sender(yamuxpeer):
    """The wire has no limit of 256 KiB, only a start there; a Go sender takes what it is given."""
    limits = Limits.compatible(max_window=4 << 20)
    sizes = []

    class Greedy(Echo):
        def on_data(self, data, fin):
            self.stream.consumed(len(data))
            sizes.append(self.stream.receive_size)

    with (
        Peer(yamuxpeer, "push", "client", "-bytes", "60000000") as peer,
        Driver(Role.SERVER, peer.address, Greedy, limits) as driver,
    ):
        # As if it were far away: on loopback nothing is ever limited by its window.
        driver.session.keepalive.rtt = 0.01
        driver.run(lambda: driver.lost)
        assert peer.result()["ok"]
    assert 1 << 20 < max(sizes) <= 4 << 20


def test_a_slow_go_reader_stops_our_sender_and_no_other_stream(yamuxpeer):
    options = ("-streams", "2", "-read-delay", "20ms")
    with (
        Peer(yamuxpeer, "sink", "client", *options) as peer,
        Driver(Role.SERVER, peer.address) as driver,
    ):
        slow = Uploader(payload(2_000_000)).start(driver.session)
        driver.run_for(0.2)
        assert 0 < slow.stream.pending <= LIMITS.high_water + slow.chunk
        quick = Uploader(b"small").start(driver.session)
        driver.run(lambda: quick.stream.pending == 0, seconds=1)
        driver.run(lambda: slow.finished and quick.finished)
        driver.run(lambda: driver.lost)
        result = peer.result()
    assert result["ok"]
    assert result["received"] == 2_000_005


def test_our_reset_ends_one_stream_at_the_go_side(yamuxpeer):
    with (
        Peer(yamuxpeer, "echo", "client", "-streams", "2") as peer,
        Driver(Role.SERVER, peer.address) as driver,
    ):
        doomed = Uploader(payload(3_000_000)).start(driver.session)
        driver.run(lambda: doomed.received > 0)
        doomed.stream.reset()
        other = Uploader(b"hello").start(driver.session)
        driver.run(lambda: other.finished)
        driver.run(lambda: driver.lost)
        result = peer.result()
    reports = {report["id"]: report for report in result["streams"]}
    assert "reset" in reports[2]["error"]
    assert "error" not in reports[4]
    assert doomed.resets == 0


def test_a_refused_stream_is_reset_at_the_go_side(yamuxpeer):
    def accept(stream):
        return Echo(stream) if stream.id != 3 else None

    options = ("-streams", "3", "-parallel", "1")
    with (
        Peer(yamuxpeer, "send", "client", *options) as peer,
        Driver(Role.SERVER, peer.address, accept) as driver,
    ):
        driver.run(lambda: driver.lost)
        result = peer.result()
    errors = {report["id"]: report.get("error", "") for report in result["streams"]}
    assert errors[1] == errors[5] == ""
    assert "reset" in errors[3]


def test_a_reset_by_go_is_told_to_the_sink(yamuxpeer):
    """hashicorp/yamux resets a stream whose other half is not closed in time."""
    options = ("-streams", "1", "-bytes", "10", "-close-timeout", "100ms")
    sinks = []

    class Silent(Echo):
        def on_data(self, data, fin):
            self.stream.consumed(len(data))

    def accept(stream):
        sinks.append(Silent(stream))
        return sinks[-1]

    with (
        Peer(yamuxpeer, "send", "client", *options) as peer,
        Driver(Role.SERVER, peer.address, accept) as driver,
    ):
        driver.run(lambda: sinks and sinks[0].resets, seconds=10)
        assert driver.session.terminated is None


@ROLES
def test_pings_both_ways(yamuxpeer, ours, theirs):
    with (
        Peer(yamuxpeer, "ping", theirs, "-pings", "5") as peer,
        Driver(ours, peer.address) as driver,
    ):
        driver.run(lambda: driver.lost)
        result = peer.result()
        assert result["ok"], result
        assert len(result["rtt_ms"]) == 5
    with Peer(yamuxpeer, "idle", theirs) as peer, Driver(ours, peer.address) as driver:
        driver.run(lambda: driver.session.rtt is not None, seconds=5)
        assert 0 < driver.session.rtt < 1


def test_go_keepalive_is_answered(yamuxpeer):
    options = ("-keepalive", "100ms")
    with (
        Peer(yamuxpeer, "idle", "client", *options) as peer,
        Driver(Role.SERVER, peer.address) as driver,
    ):
        driver.run_for(0.5)
        assert driver.session.terminated is None
        assert driver.session.load > 5 * 24


def test_go_away_from_go_stops_opening_and_finishes_what_lives(yamuxpeer):
    options = ("-streams", "1", "-goaway-after", "1")
    with (
        Peer(yamuxpeer, "echo", "client", *options) as peer,
        Driver(Role.SERVER, peer.address) as driver,
    ):
        upload = Uploader(payload(3_000_000)).start(driver.session)
        driver.run(lambda: driver.session.draining)
        with pytest.raises(SessionDraining):
            driver.session.open(upload)
        assert not upload.finished
        driver.run(lambda: upload.finished)
        assert upload.received == 3_000_000
        driver.run(lambda: driver.lost)
        assert peer.result()["ok"]


def test_our_go_away_stops_go_from_opening(yamuxpeer):
    options = ("-streams", "20", "-parallel", "1", "-bytes", "100000")
    sinks = []

    def accept(stream):
        sinks.append(Echo(stream))
        return sinks[-1]

    with (
        Peer(yamuxpeer, "send", "client", *options) as peer,
        Driver(Role.SERVER, peer.address, accept) as driver,
    ):
        driver.run(lambda: len(sinks) == 3)
        driver.session.go_away()
        driver.run(lambda: driver.lost)
        result = peer.result()
    errors = [report.get("error", "") for report in result["streams"]]
    assert errors[:3] == ["", "", ""]
    # The fourth may have been opened before our go-away arrived: then it was reset.
    assert set(errors[4:]) == {"remote end is not accepting connections"}


def test_streams_that_we_leave_unanswered_do_not_end_the_go_session(yamuxpeer):
    """hashicorp/yamux gives up the whole session over one open that is not acknowledged in time."""
    options = ("-streams", "300", "-parallel", "300", "-open-timeout", "300ms", "-bytes", "5")
    waiting = []

    class Late(Echo):
        def on_data(self, data, fin):
            self.stream.consumed(len(data))

    def accept(stream):
        waiting.append(stream)
        return Late(stream)

    with (
        Peer(yamuxpeer, "push", "client", *options) as peer,
        Driver(Role.SERVER, peer.address, accept) as driver,
    ):
        driver.run(lambda: len(waiting) == 300)
        driver.run_for(0.1)
        assert driver.session.terminated is None
        assert driver.session.unanswered == 0
        for stream in waiting:
            stream.send(b"", True)
        driver.run(lambda: driver.lost)
        assert peer.result()["ok"]


def test_closing_tells_go(yamuxpeer):
    with Peer(yamuxpeer, "idle", "client") as peer, Driver(Role.SERVER, peer.address) as driver:
        driver.run_for(0.1)
        driver.session.close(Termination(GoAwayCode.PROTOCOL_ERROR, "test"))
        driver.run(lambda: driver.lost)
        assert peer.result()["event"] == "result"


def test_go_ends_the_session_when_we_overrun_its_window(yamuxpeer):
    """The other direction of our own rule: a lying sender is caught, and we hear why."""
    limits = replace(LIMITS, initial_window=1 << 20, max_window=1 << 20)
    options = ("-streams", "1", "-read-delay", "5s")
    with (
        Peer(yamuxpeer, "sink", "client", *options) as peer,
        Driver(Role.SERVER, peer.address, limits=limits) as driver,
    ):
        liar = Uploader(payload(900_000)).start(driver.session)
        driver.run(lambda: driver.session.terminated is not None)
        assert liar.resets == 1
        # TCP may drop its GoAway together with what it did not read, so its log is the witness.
        peer.process.kill()
        assert "receive window exceeded" in peer.process.communicate()[1]
