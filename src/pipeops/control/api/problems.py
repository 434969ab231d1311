"""Problems: every error answer has the same JSON body and says what to do."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from pipeops.control.auth.errors import AuthenticationUnavailable, Unauthenticated
from pipeops.control.store.errors import Conflict, NotFound, StoreError


class ProblemBody(BaseModel):
    """Body of every error answer."""

    error: str
    """What failed, for people."""
    reason: str
    """One word for programs: Unauthenticated, Forbidden, NotFound, Conflict, Invalid, Unavailable, …"""
    hint: str
    """What to do about it; may be empty."""
    request_id: str
    """Finds the request in the control plane's log."""


class Problem(Exception):
    """An error answer raised by a handler."""

    def __init__(self, status: int, reason: str, error: str, *, hint: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.reason = reason
        self.hint = hint


_REASONS = {
    400: "Invalid",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    413: "TooLarge",
    415: "UnsupportedMediaType",
    503: "Unavailable",
}


def problem_of(error: Exception) -> Problem | None:
    """Return the answer to an expected error, None for a bug."""
    match error:
        case Problem():
            return error
        case Unauthenticated():
            return Problem(401, "Unauthenticated", str(error), hint=error.hint)
        case AuthenticationUnavailable():
            return Problem(503, "Unavailable", str(error), hint=error.hint)
        case StoreError():
            status = (
                404 if isinstance(error, NotFound) else 409 if isinstance(error, Conflict) else 503
            )
            return Problem(status, _REASONS[status], str(error), hint=error.hint)
        case HTTPException():
            reason = _REASONS.get(error.status_code, "Error")
            hint = (
                "see /api/openapi.json for what exists" if error.status_code in (404, 405) else ""
            )
            return Problem(error.status_code, reason, str(error.detail).lower(), hint=hint)
        case RequestValidationError():
            return Problem(400, "Invalid", _first_complaint(error), hint="see /api/openapi.json")
        case _:
            return None


def answer(problem: Problem, request_id: str) -> JSONResponse:
    """Return the HTTP answer of a problem."""
    body = ProblemBody(
        error=str(problem), reason=problem.reason, hint=problem.hint, request_id=request_id
    )
    headers = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == 503:
        headers["Retry-After"] = "5"
    return JSONResponse(body.model_dump(), status_code=problem.status, headers=headers)


def handle_errors(app: FastAPI) -> None:
    """Make the application answer expected errors; the outer layer answers the others."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        problem = problem_of(error)
        if problem is None:
            raise error
        return answer(problem, str(request.scope.get("pipeops_request_id", "")))

    for kind in (
        Problem,
        Unauthenticated,
        AuthenticationUnavailable,
        StoreError,
        HTTPException,
        RequestValidationError,
    ):
        app.add_exception_handler(kind, handle)


def _first_complaint(error: RequestValidationError) -> str:
    """Name the first wrong field, without repeating its value: it may be a secret."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "the body is not valid JSON"
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return f"{place}: {str(first['msg']).removeprefix('Value error, ')}"
