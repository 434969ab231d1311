"""How bytes are cut does not matter, and no bytes make a session raise."""

from hypothesis import example, given
from hypothesis import strategies as st

from pipeops.protocol.mux import Role, Session
from pipeops.protocol.mux.frames import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE
from tests.support.mux import TINY, frame


class Journal:
    """A sink that writes down what happens, in an order that all streams share."""

    def __init__(self, events, stream):
        self.events = events
        self.stream = stream

    def on_data(self, data, fin):
        key = [self.stream.id, "data"]
        last = self.events[-1] if self.events else None
        if data and last is not None and last[:2] == key:
            last[2] += data  # pieces of one frame, or frames that follow each other
        elif data:
            self.events.append([*key, bytearray(data)])
        if fin:
            self.events.append([self.stream.id, "fin"])

    def on_reset(self):
        self.events.append([self.stream.id, "reset"])

    def on_writable(self):
        self.events.append([self.stream.id, "writable"])


def run(pieces):
    """Everything observable after a session was fed these pieces."""
    events = []
    session = Session(
        Role.CLIENT,
        TINY,
        accept=lambda stream: None if stream.id % 8 == 0 else Journal(events, stream),
        wake=lambda: None,
        on_sink_error=lambda stream, error: events.append([stream.id, repr(error)]),
        now=0.0,
    )
    own = session.open(Journal(events, None))
    own.sink.stream = own
    own.send(b"ours")
    output = bytearray()
    for piece in pieces:
        session.receive_data(memoryview(piece), now=1.0)
    while (batch := session.data_to_send()) is not None:
        output += batch[TINY.headroom :]
    return events, session.terminated, bytes(output), set(session.streams)


@st.composite
def frames(draw):
    kind = draw(st.sampled_from([DATA, DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, PING, GO_AWAY]))
    flags = draw(st.sampled_from([0, 0, SYN, SYN, FIN, SYN | FIN, RST, ACK, ACK | FIN]))
    stream_id = draw(st.sampled_from([1, 2, 2, 4, 4, 6, 8]))
    if kind == DATA:
        body = draw(st.binary(max_size=24))
        return frame(kind, flags, stream_id, len(body), body)
    if kind == WINDOW_UPDATE:
        return frame(kind, flags, stream_id, draw(st.integers(0, 100)))
    return frame(kind, flags, 0, draw(st.sampled_from([0, 0, 0, 1, 9])))


@st.composite
def images(draw):
    """A wire image, mostly valid: streams are opened before they are used."""
    opening = b"".join(frame(DATA, SYN, i, 3, b"one") for i in (2, 4))
    return opening + b"".join(draw(st.lists(frames(), max_size=12)))


@given(image=images(), cuts=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_how_a_wire_image_is_cut_is_invisible(image, cuts):
    pieces = []
    position = 0
    index = 0
    while position < len(image):
        size = cuts[index % len(cuts)]
        pieces.append(image[position : position + size])
        position += size
        index += 1
    assert run(pieces) == run([image])


@given(image=images())
def test_byte_by_byte_is_the_same_as_at_once(image):
    assert run([image[i : i + 1] for i in range(len(image))]) == run([image])


@given(st.lists(st.binary(max_size=60), max_size=10))
@example([b"\0\0\0\1\0\0\0\2\xff\xff\xff\xff"])
@example([b""])
def test_garbage_never_raises(pieces):
    run(pieces)


@given(
    image=images(),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
)
def test_damaged_images_never_raise(image, flips):
    damaged = bytearray(image)
    for position, value in flips:
        if damaged:
            damaged[position % len(damaged)] = value
    events, terminated, _, streams = run([bytes(damaged)])
    if terminated is not None:
        assert not streams
    resets = [event[0] for event in events if event[1] == "reset"]
    assert len(resets) == len(set(resets))
