"""A stream that cannot end well: an answer while that is possible, an announced reset afterwards."""

from pipeops.agent.proxy.failure import StreamFailure
from pipeops.protocol.exchange.native import PREFACE_BYTES, Framing, decode_preface
from pipeops.protocol.exchange.status import Hop
from tests.support.transports import RecordingStream


def failure() -> tuple[
    StreamFailure, RecordingStream, list[tuple[object, ...]], list[tuple[object, ...]]
]:
    stream = RecordingStream()
    announced: list[tuple[object, ...]] = []
    reported: list[tuple[object, ...]] = []
    made = StreamFailure(
        stream,  # type: ignore[arg-type]
        b"0a",
        lambda *args: announced.append(args),
        lambda *args: reported.append(args),
    )
    return made, stream, announced, reported


def test_before_the_answer_it_is_a_status_with_the_request_id() -> None:
    made, stream, announced, reported = failure()
    made.fail(502, "no api server", Hop.KUBE_API)
    data = stream.take()
    preface = decode_preface(data)
    assert (preface.framing, preface.status, preface.reusable) == (Framing.LENGTH, 502, True)
    assert b"no api server (failed at: kube-apiserver, request id: 0a)" in data[PREFACE_BYTES:]
    assert stream.local_finished
    assert announced == []
    assert reported == [("0a", 502, Hop.KUBE_API, "no api server")]


def test_a_note_is_for_the_log_only() -> None:
    made, stream, announced, reported = failure()
    made.note(401, "no", Hop.KUBE_API)
    assert reported == [("0a", 401, Hop.KUBE_API, "no")]
    assert not announced
    assert not stream.sent


def test_in_the_answer_it_is_announced_before_the_reset() -> None:
    made, stream, announced, _ = failure()
    made.head_sent = True
    made.fail(504, "slow", Hop.KUBE_API)
    assert announced == [(2, "timeout", Hop.KUBE_API, "slow")]
    assert stream.was_reset


def test_a_stream_that_is_over_is_left_alone() -> None:
    made, stream, announced, reported = failure()
    stream.was_reset = True
    made.fail(502, "x", Hop.AGENT)
    assert (stream.take(), announced) == (b"", [])
    assert len(reported) == 1


def test_what_is_left_of_the_request_is_discarded_with_credit() -> None:
    made, stream, _, _ = failure()
    made.fail(403, "no", Hop.AGENT)
    stream.sink.on_data(memoryview(b"rest"), True)
    assert stream.credit == 4


def test_the_answer_to_head_has_no_body() -> None:
    made, stream, _, _ = failure()
    made.to_head_request = True
    made.fail(403, "no", Hop.AGENT)
    data = stream.take()
    preface = decode_preface(data)
    assert preface.framing is Framing.NONE
    assert len(data) == PREFACE_BYTES + preface.head_length
