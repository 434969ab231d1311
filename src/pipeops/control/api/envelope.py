"""Envelope: the layer around the application: request ids, body limit, headers, answers to bugs."""

import re
import uuid
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeops.control.api.problems import Problem, answer

MAX_BODY = 64 * 1024
"""Bytes of a request body; the largest sensible one is a token with a few hundred groups."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class _BodyTooLargeError(Exception):
    pass


class Envelope:
    """ASGI middleware.

    Args:
        app: The application inside.
        report: Gets the request id and the exception of every request that ends in a 500.
        large: Bytes that bodies of other paths may have.
    """

    def __init__(
        self,
        app: ASGIApp,
        report: Callable[[str, Exception], None],
        large: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._report = report
        self._large = large or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event of the ASGI server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["pipeops_request_id"] = request_id
        limit = self._large.get(scope["path"], MAX_BODY)
        started = False
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _BodyTooLargeError
            return message

        async def labelled_send(message: Message) -> None:
            nonlocal started
            if received > limit and not started:
                return  # the application's own idea of what a broken body means
            if message["type"] == "http.response.start":
                started = True
                headers = list(message.get("headers", ()))
                message = {
                    **message,
                    "headers": [*headers, *_HEADERS, (b"x-request-id", request_id.encode())],
                }
            await send(message)

        problem: Problem | None = None
        try:
            await self._app(scope, limited_receive, labelled_send)
        except _BodyTooLargeError:
            pass
        except Exception as error:  # noqa: BLE001 - the boundary: a bug becomes a 500 and a log record
            self._report(request_id, error)
            problem = Problem(
                500,
                "Internal",
                "the control plane failed on this request",
                hint="its log has the details under this request id",
            )
        if received > limit:
            received = 0
            problem = Problem(413, "TooLarge", f"the body is larger than {limit} bytes")
        if problem is not None and not started:
            await answer(problem, request_id)(scope, receive, labelled_send)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex
