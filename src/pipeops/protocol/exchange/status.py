"""metav1.Status bodies for failures of the path, naming the hop that failed."""

import enum

import msgspec

from pipeops.protocol.exchange.service_failure import FAILURE_HEADER, STATUS, ServiceFailure

MAX_ERROR_TEXT = 1024  # an error names its cause; it does not quote a page


class Hop(enum.StrEnum):
    """Where on the way from the client to the cluster something failed."""

    CLIENT = "client"
    CONTROL_PLANE = "control-plane"
    TUNNEL = "tunnel"
    AGENT = "agent"
    KUBE_API = "kube-apiserver"
    SERVICE = "service"


# https://kubernetes.io/docs/reference/using-api/api-concepts/ and apimachinery's StatusReason values
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "Timeout",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalError",
    502: "ServiceUnavailable",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    417: "Expectation Failed",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


class _Cause(msgspec.Struct):
    reason: str
    message: str


class _Details(msgspec.Struct, omit_defaults=True, rename="camel"):
    causes: list[_Cause]
    retry_after_seconds: int = 0


class _Status(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    metadata: dict[str, str]
    status: str
    message: str
    reason: str
    details: _Details
    code: int


def status_body(
    code: int,
    message: str,
    *,
    hop: Hop,
    request_id: str,
    retry_after: int = 0,
    failure: ServiceFailure | None = None,
) -> bytes:
    """A metav1.Status as JSON.

    Args:
        code: HTTP status.
        message: what failed, why, and what to do; cut at MAX_ERROR_TEXT characters.
        hop: the hop that failed; also a cause in the details.
        request_id: appended to the message, so that it can be found in both sides' logs.
        retry_after: seconds after which to try again, 0 for none.
        failure: of a request to a Service: why, also a cause in the details.
    """
    text = f"{message[:MAX_ERROR_TEXT]} (failed at: {hop}, request id: {request_id})"
    causes = [_Cause("FailedHop", hop.value), _Cause("RequestId", request_id)]
    if failure is not None:
        causes.append(_Cause("ServiceFailure", failure.value))
    return msgspec.json.encode(
        _Status(
            "Status",
            "v1",
            {},
            "Failure",
            text,
            _REASONS.get(code, "InternalError" if code >= 500 else "BadRequest"),
            _Details(causes, retry_after),
            code,
        )
    )


def status_response(
    code: int, message: str, *, hop: Hop, request_id: str, retry_after: int = 0, close: bool = False
) -> tuple[bytes, bytes]:
    """Head and body of a whole HTTP/1.1 answer carrying `status_body`."""
    body = status_body(code, message, hop=hop, request_id=request_id, retry_after=retry_after)
    return _response(code, "application/json", body, request_id, retry_after, close=close)


def failure_response(
    failure: ServiceFailure, message: str, *, hop: Hop, request_id: str
) -> tuple[bytes, bytes]:
    """The same for a request to a Service: a header of the head, and a cause in the body, name the failure."""
    code = STATUS[failure]
    body = status_body(code, message, hop=hop, request_id=request_id, failure=failure)
    head, body = _response(code, "application/json", body, request_id, 0, close=False)
    return b"%b%b: %b\r\n\r\n" % (head[:-2], FAILURE_HEADER, failure.value.encode()), body


def text_response(
    code: int, message: str, *, hop: Hop, request_id: str, retry_after: int = 0, close: bool = False
) -> tuple[bytes, bytes]:
    """Head and body of an HTTP/1.1 answer that says the same in plain text."""
    body = f"{message[:MAX_ERROR_TEXT]} (failed at: {hop}, request id: {request_id})".encode()
    kind = "text/plain; charset=utf-8"
    return _response(code, kind, body, request_id, retry_after, close=close)


def _response(
    code: int, content_type: str, body: bytes, request_id: str, retry_after: int, *, close: bool
) -> tuple[bytes, bytes]:
    lines = [
        f"HTTP/1.1 {code} {phrase(code)}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"X-Request-Id: {request_id}",
    ]
    if retry_after:
        lines.append(f"Retry-After: {retry_after}")
    if code == 401:
        lines.append('WWW-Authenticate: Bearer realm="pipeops"')
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode(), body


def phrase(code: int) -> str:
    """Reason phrase of a status line."""
    return _PHRASES.get(code, "Status")
