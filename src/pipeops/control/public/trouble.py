"""Trouble: what a visitor of a public address may be told about a failure, and nothing that is inside a cluster."""

import enum
from dataclasses import dataclass

from pipeops.protocol.exchange.service_failure import ServiceFailure
from pipeops.protocol.exchange.status import Hop

OFFLINE_RETRY = 10  # seconds; agents reconnect within 15
BUSY_RETRY = 1


class Trouble(enum.Enum):
    """A kind of failure."""

    BAD_REQUEST = enum.auto()
    MISDIRECTED = enum.auto()
    NO_HOST = enum.auto()
    NO_PATH = enum.auto()
    TOO_LARGE = enum.auto()
    HEAD_TOO_LARGE = enum.auto()
    TOO_MANY_REQUESTS = enum.auto()
    SLOW_CLIENT = enum.auto()
    OFFLINE = enum.auto()
    NO_ENDPOINTS = enum.auto()
    NOT_SERVED = enum.auto()
    BUSY = enum.auto()
    UNREACHABLE = enum.auto()
    BROKEN = enum.auto()
    TIMEOUT = enum.auto()
    UNSUPPORTED = enum.auto()


@dataclass(frozen=True, slots=True)
class Words:
    """How a Trouble is told.

    Attributes:
        code: HTTP status.
        grpc: gRPC status code (gRPC, "HTTP to gRPC Status Code Mapping").
        advice: what the visitor, or the owner of the address, can do.
        retry_after: seconds, 0 for none.
    """

    code: int
    grpc: int
    title: str
    advice: str
    retry_after: int = 0


_UNAVAILABLE, _INTERNAL, _DEADLINE, _EXHAUSTED, _UNIMPLEMENTED = 14, 13, 4, 8, 12

WORDS: dict[Trouble, Words] = {
    Trouble.BAD_REQUEST: Words(
        400, _INTERNAL, "This request cannot be understood",
        "It is malformed, or could be understood in more than one way.",
    ),
    Trouble.MISDIRECTED: Words(
        421, _INTERNAL, "This connection is for another host",
        "The connection was opened for a different host name. Open a new one for this host.",
    ),
    Trouble.NO_HOST: Words(
        404, _UNIMPLEMENTED, "There is no such host here",
        "No application is published under this name. If it is yours, check the host of its Ingress and its DNS record.",
    ),
    Trouble.NO_PATH: Words(
        404, _UNIMPLEMENTED, "There is nothing at this path",
        "This host exists, but none of its routes covers the path.",
    ),
    Trouble.TOO_LARGE: Words(
        413, _EXHAUSTED, "The upload is too large",
        "This application takes smaller request bodies only.",
    ),
    Trouble.HEAD_TOO_LARGE: Words(
        431, _EXHAUSTED, "The request's headers are too large",
        "Deleting this site's cookies often helps.",
    ),
    Trouble.TOO_MANY_REQUESTS: Words(
        429, _UNAVAILABLE, "Too many requests",
        "Wait a moment before the next one.", BUSY_RETRY,
    ),
    Trouble.SLOW_CLIENT: Words(
        408, _DEADLINE, "The request did not arrive in time",
        "The connection may be slow or interrupted. Try again.",
    ),
    Trouble.OFFLINE: Words(
        503, _UNAVAILABLE, "The application is offline",
        "The place where it runs is not connected at the moment. It reconnects by itself; try again shortly.", OFFLINE_RETRY,
    ),
    Trouble.NO_ENDPOINTS: Words(
        503, _UNAVAILABLE, "The application is not running",
        "Nothing is ready to answer behind this address. It may be starting; try again shortly.", OFFLINE_RETRY,
    ),
    Trouble.NOT_SERVED: Words(
        503, _UNAVAILABLE, "The application cannot be reached from outside",
        "Its address is published, but what should answer is missing or not offered. The owner's agent logs say why.",
    ),
    Trouble.BUSY: Words(
        503, _UNAVAILABLE, "Too busy",
        "More requests are under way than are allowed. Try again in a moment.", BUSY_RETRY,
    ),
    Trouble.UNREACHABLE: Words(
        502, _UNAVAILABLE, "The application does not accept connections",
        "It is published and running, but refused to talk. Try again; if it stays like this, tell its owner.",
    ),
    Trouble.BROKEN: Words(
        502, _UNAVAILABLE, "The connection to the application was lost",
        "It ended before there was an answer. Try again.",
    ),
    Trouble.TIMEOUT: Words(
        504, _DEADLINE, "The application did not answer in time",
        "It may be overloaded. Try again later.",
    ),
    Trouble.UNSUPPORTED: Words(
        501, _UNIMPLEMENTED, "This is not supported here",
        "The request uses something that this gateway does not carry.",
    ),
}  # fmt: skip

_FAILURES = {
    ServiceFailure.BAD_REQUEST: Trouble.BAD_REQUEST,
    ServiceFailure.REFUSED: Trouble.NOT_SERVED,
    ServiceFailure.NO_SERVICE: Trouble.NOT_SERVED,
    ServiceFailure.NO_ENDPOINTS: Trouble.NO_ENDPOINTS,
    ServiceFailure.UNREACHABLE: Trouble.UNREACHABLE,
    ServiceFailure.CONNECT_TIMEOUT: Trouble.TIMEOUT,
    ServiceFailure.UPSTREAM_TIMEOUT: Trouble.TIMEOUT,
    ServiceFailure.BROKEN_ANSWER: Trouble.BROKEN,
    ServiceFailure.OVERLOADED: Trouble.BUSY,
}
_CODES = {
    403: Trouble.NOT_SERVED, 404: Trouble.NO_PATH, 408: Trouble.SLOW_CLIENT, 413: Trouble.TOO_LARGE,
    421: Trouble.MISDIRECTED, 429: Trouble.TOO_MANY_REQUESTS, 431: Trouble.HEAD_TOO_LARGE, 501: Trouble.UNSUPPORTED,
    502: Trouble.BROKEN, 503: Trouble.BUSY, 504: Trouble.TIMEOUT, 505: Trouble.UNSUPPORTED,
}  # fmt: skip


def of_failure(value: str) -> Trouble:
    """What the agent's word for a Service's failure means to a visitor; an unknown word is a broken answer."""
    try:
        return _FAILURES[ServiceFailure(value)]
    except ValueError:
        return Trouble.BROKEN


def of_status(code: int, hop: Hop) -> Trouble:
    """What a failure of the path means to a visitor."""
    if code < 500 and hop is Hop.CLIENT and code not in _CODES:
        return Trouble.BAD_REQUEST
    return _CODES.get(code, Trouble.BAD_REQUEST if code < 500 else Trouble.BROKEN)
