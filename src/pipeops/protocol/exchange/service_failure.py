"""ServiceFailure: why a request to a Service has no answer of its own; both ends of the native dialect read it."""

import enum
from typing import Final

#: Response header of the agent's own answers on SERVICE_HTTP streams. Believe it only behind a preface that says so.
FAILURE_HEADER: Final = b"X-Pipeops-Failure"


class ServiceFailure(enum.StrEnum):
    """The value of FAILURE_HEADER; also a cause (`ServiceFailure`) in the Status that is the body."""

    BAD_REQUEST = "bad-request"  # the agent cannot use the request
    REFUSED = "refused"  # the cluster does not offer this Service through the tunnel
    NO_SERVICE = "no-such-service"
    NO_ENDPOINTS = "no-endpoints"
    UNREACHABLE = (
        "unreachable"  # every endpoint that was tried refused the connection, or its TLS failed
    )
    CONNECT_TIMEOUT = "connect-timeout"
    UPSTREAM_TIMEOUT = "upstream-timeout"  # connected, and no (whole) answer in time
    BROKEN_ANSWER = "broken-answer"  # the connection was lost, or what came is not HTTP
    OVERLOADED = "overloaded"  # the agent has too much to do


#: Status code of each.
STATUS: Final = {
    ServiceFailure.BAD_REQUEST: 400,
    ServiceFailure.REFUSED: 403,
    ServiceFailure.NO_SERVICE: 503,
    ServiceFailure.NO_ENDPOINTS: 503,
    ServiceFailure.UNREACHABLE: 502,
    ServiceFailure.CONNECT_TIMEOUT: 504,
    ServiceFailure.UPSTREAM_TIMEOUT: 504,
    ServiceFailure.BROKEN_ANSWER: 502,
    ServiceFailure.OVERLOADED: 503,
}
