"""The access log: one well-formed line per request, bounded, never in the way."""

import io
import json
from collections.abc import Callable

from pipeops.control.edge.access_log import MAX_COLLECTED_LINES, AccessLog
from pipeops.control.edge.exchange import ClientRequest
from pipeops.http1.head import read_block


class Later:
    """A loop's call_later that the test fires."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, _seconds: float, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)


def make(*, enabled: bool = True) -> tuple[AccessLog, io.StringIO, Later]:
    stream, later = io.StringIO(), Later()
    log = AccessLog(
        stream, timestamp=lambda: b"2026-01-02T03:04:05.678Z", call_later=later, enabled=enabled
    )
    return log, stream, later


def request(target: bytes = b"/k8s/a/api", user: bytes = b"jane") -> ClientRequest:
    made = ClientRequest(b"GET", target, 1, read_block(b""), 0, b"0" * 32, "10.0.0.1", 10.0)
    made.user = user
    return made


def written(log: AccessLog, stream: io.StringIO) -> list[dict[str, object]]:
    log.start()
    log.stop()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_who_asked_for_what_and_how_it_ended() -> None:
    log, stream, _ = make()
    log.request(request(), 200, 1234, 10.0156, "ok")
    assert written(log, stream) == [
        {
            "time": "2026-01-02T03:04:05.678Z",
            "level": "info",
            "msg": "request",
            "request_id": "0" * 32,
            "peer": "10.0.0.1",
            "method": "GET",
            "target": "/k8s/a/api",
            "user": "jane",
            "status": 200,
            "bytes": 1234,
            "ms": 15.6,
            "outcome": "ok",
        }
    ]


def test_hostile_text_stays_within_its_string() -> None:
    log, stream, _ = make()
    log.request(request(b'/a?"x\\', 'j"é\n'.encode()), 200, 0, 10.0, 'says "no"\r\n{}')
    log.refused("peer", b"1" * 32, 400, 'a "quote"\n')
    first, second = written(log, stream)
    assert (first["target"], first["user"]) == ('/a?"x\\', 'j"é\n')
    assert first["outcome"] == 'says "no"\r\n{}'
    assert second["outcome"] == 'a "quote"\n'


def test_long_values_are_cut() -> None:
    log, stream, _ = make()
    log.request(request(b"/" + b"t" * 5000, b"u" * 5000), 200, 0, 10.0, "o" * 5000)
    (line,) = written(log, stream)
    assert [len(str(line[key])) for key in ("target", "user", "outcome")] == [512, 256, 256]


def test_lines_are_handed_over_together() -> None:
    log, _, later = make()
    for _ in range(3):
        log.request(request(), 200, 0, 10.0, "ok")
    assert len(later.waiting) == 1
    later.waiting.pop()()
    log.request(request(), 200, 0, 10.0, "ok")
    assert len(later.waiting) == 1


def test_too_many_lines_are_dropped_and_counted() -> None:
    log, stream, _ = make()
    for _ in range(MAX_COLLECTED_LINES + 5):
        log.request(request(), 200, 0, 10.0, "ok")
    assert log.dropped == 5
    assert len(written(log, stream)) == MAX_COLLECTED_LINES


def test_a_stream_that_takes_nothing_costs_bounded_memory() -> None:
    log, _, later = make()
    for _ in range(50):
        log.request(request(), 200, 0, 10.0, "ok")
        later.waiting.pop()()
    assert log.dropped > 0


def test_a_broken_stream_ends_the_log_only() -> None:
    log, stream, _ = make()
    stream.close()
    log.request(request(), 200, 0, 10.0, "ok")
    log.start()
    log.stop()


def test_nothing_is_kept_when_it_is_off() -> None:
    log, stream, later = make(enabled=False)
    log.request(request(), 200, 0, 10.0, "ok")
    log.refused("peer", b"1" * 32, 400, "no")
    assert later.waiting == []
    assert written(log, stream) == []


def test_a_token_that_a_client_put_into_its_url_is_hidden() -> None:
    """threats.md S-21: the rest of the query is kept, audits want it."""
    log, stream, _ = make()
    token = b"pipeops_u_" + b"canary-" * 7
    log.request(request(b"/k8s/a/x?command=ls&token=canary-secret"), 200, 1, 10.5, "ok")
    log.request(request(b"/k8s/a/" + token), 200, 1, 10.5, "ok")
    lines = written(log, stream)
    assert lines[0]["target"] == "/k8s/a/x?command=ls&token=***"
    assert lines[1]["target"] == "/k8s/a/***"
