"""One request on an HTTP/2 connection: windows, credit and ends."""

from h2.errors import ErrorCodes

from pipeops.agent.services.h2_stream import H2Stream
from pipeops.protocol.exchange.native import UNKNOWN_LENGTH, HeadFlag
from tests.unit.agent.services.h2_pieces import Asked

POST = b"POST / HTTP/1.1\r\nhost: h\r\n\r\n"
OK = [(b":status", b"200")]


class Carrier:
    """A connection whose window is the test's."""

    def __init__(self) -> None:
        self.room = 1 << 20
        self.sent: list[tuple[bytes, bool]] = []
        self.credit = 0
        self.over: list[ErrorCodes | None] = []

    def window(self, number: int) -> int:
        return min(self.room, 16_384)

    def send_body(self, number: int, data: bytes, *, last: bool) -> None:
        self.room -= len(data)
        self.sent.append((bytes(data), last))

    def taken(self, number: int, size: int) -> None:
        self.credit += size

    def finished(self, number: int, code: ErrorCodes | None = None) -> None:
        self.over.append(code)


def begun(asked: Asked) -> tuple[Carrier, H2Stream]:
    carrier = Carrier()
    stream = H2Stream(carrier, 1, asked.exchange, 0.0)
    stream.request_ended = asked.exchange.request.length == 0
    asked.stream.sink = stream
    return carrier, stream


def test_a_body_waits_for_the_services_window_and_its_credit_with_it() -> None:
    asked = Asked(POST, length=UNKNOWN_LENGTH)
    carrier, stream = begun(asked)
    carrier.room = 3
    asked.body(b"hello")
    assert (carrier.sent, asked.stream.credit) == ([(b"hel", False)], 3)
    asked.body(b" you", fin=True)
    carrier.room = 100
    stream.flush()
    assert carrier.sent[1:] == [(b"lo", False), (b" you", True)]
    assert stream.request_ended


def test_an_end_without_data_is_an_empty_frame() -> None:
    asked = Asked(POST, length=UNKNOWN_LENGTH)
    carrier, _ = begun(asked)
    asked.body(b"x")
    asked.body(b"", fin=True)
    assert carrier.sent == [(b"x", False), (b"", True)]


def test_large_pieces_are_cut_into_frames() -> None:
    asked = Asked(POST, length=40_000)
    carrier, _ = begun(asked)
    asked.body(bytes(40_000), fin=True)
    assert [len(data) for data, _ in carrier.sent] == [16_384, 16_384, 7232]
    assert [last for _, last in carrier.sent] == [False, False, True]


def test_a_body_that_is_not_as_long_as_declared_ends_both_sides() -> None:
    for data, fin in ((b"toolong", False), (b"x", True)):
        asked = Asked(POST, length=2)
        carrier, _ = begun(asked)
        asked.body(data, fin=fin)
        assert (carrier.over, asked.reports[0][0]) == ([ErrorCodes.CANCEL], 400)


def test_a_client_that_reads_slowly_holds_the_services_window() -> None:
    asked = Asked()
    carrier, stream = begun(asked)
    stream.on_head(OK, ended=False)
    asked.stream.full = True
    stream.on_body(b"data", 10)
    assert carrier.credit == 0
    stream.on_writable()
    assert carrier.credit == 10
    asked.stream.full = False
    stream.on_body(b"", 7)
    assert carrier.credit == 17


def test_a_client_that_left_returns_what_was_held_to_the_others() -> None:
    asked = Asked()
    carrier, stream = begun(asked)
    stream.on_head(OK, ended=False)
    asked.stream.full = True
    stream.on_body(b"data", 10)
    stream.on_reset()
    assert (carrier.credit, carrier.over) == (10, [ErrorCodes.CANCEL])
    stream.on_body(b"late", 5)
    assert carrier.credit == 15
    stream.on_reset()
    stream.on_end()
    assert len(carrier.over) == 1


def test_an_answer_before_the_requests_end_says_that_the_rest_is_not_needed() -> None:
    asked = Asked(POST, length=UNKNOWN_LENGTH)
    carrier, stream = begun(asked)
    asked.body(b"some")
    stream.on_head(OK, ended=True)
    assert (carrier.over, asked.stream.local_finished) == ([ErrorCodes.NO_ERROR], True)
    asked.body(b"more")
    assert asked.stream.credit == 8


def test_a_lost_connection_is_tried_again_only_before_an_answer_and_only_for_get() -> None:
    asked = Asked()
    _, stream = begun(asked)
    stream.lost("gone", stale=True)
    assert (asked.way.again_for, asked.reports) == ([asked.exchange], [])
    asked = Asked(POST)
    _, stream = begun(asked)
    stream.lost("gone", stale=True)
    assert asked.reports == [(502, "the service web.shop:80 gave no whole answer: gone")]
    asked = Asked()
    _, stream = begun(asked)
    stream.on_head(OK, ended=False)
    stream.lost("gone", stale=True)
    assert len(asked.ends) == 1
    stream.lost("gone", stale=True)
    assert len(asked.ends) == 1


def test_what_the_service_has_not_seen_goes_elsewhere_a_few_times_unless_its_body_is_gone() -> None:
    asked = Asked(b"DELETE /x HTTP/1.1\r\nhost: h\r\n\r\n")
    for _ in range(4):
        _, stream = begun(asked)
        stream.lost("going away", unseen=True)
    assert (len(asked.way.again_for), len(asked.reports)) == (3, 1)
    asked = Asked(POST, length=4)
    _, stream = begun(asked)
    asked.body(b"body", fin=True)
    stream.lost("going away", unseen=True)
    assert (asked.way.again_for, len(asked.reports)) == ([], 1)


def test_an_end_without_a_head_and_heads_that_cannot_be() -> None:
    asked = Asked()
    carrier, stream = begun(asked)
    stream.on_end()
    assert (carrier.over, asked.reports[0][0]) == ([ErrorCodes.CANCEL], 502)
    asked = Asked()
    carrier, stream = begun(asked)
    stream.on_head([(b":status", b"x")], ended=False)
    assert "unusable" in asked.reports[0][1]


def test_s27_trailers_that_cannot_be_break_the_answer() -> None:
    asked = Asked()
    _, stream = begun(asked)
    stream.on_head(OK, ended=False)
    stream.on_trailers([(b"x", b"a\r\nb")])
    stream.on_end()
    assert (len(asked.ends), asked.stream.was_reset) == (1, True)


def test_a_head_that_does_not_come_is_given_up_unless_it_is_grpc() -> None:
    asked = Asked()
    carrier, stream = begun(asked)
    stream.give_up_if_late(9.0, 10.0)
    assert asked.reports == []
    stream.give_up_if_late(11.0, 10.0)
    assert (asked.reports[0][0], carrier.over) == (504, [ErrorCodes.CANCEL])
    asked = Asked(POST.replace(b"\r\n\r\n", b"\r\ncontent-type: application/grpc\r\n\r\n"))
    _, stream = begun(asked)
    stream.give_up_if_late(1e9, 10.0)
    assert asked.reports == []


def test_a_caller_that_looks_after_the_time_itself_may_wait_for_a_day() -> None:
    asked = Asked(flags=int(HeadFlag.CALLER_TIMES))
    carrier, stream = begun(asked)
    stream.give_up_if_late(86_000.0, 10.0)
    assert (asked.reports, carrier.over) == ([], [])
    stream.give_up_if_late(86_401.0, 10.0)
    assert (asked.reports[0][0], carrier.over) == (504, [ErrorCodes.CANCEL])
