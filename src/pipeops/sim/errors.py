"""API errors: every refusal is a `metav1.Status`, in the API server's own words."""

from collections.abc import Sequence
from typing import Any

from pipeops.sim.objects import JsonObject


class ApiError(Exception):
    """A request that ends with a Status document.

    Attributes:
        code: HTTP status.
        status: the document.
        retry_after: seconds for a Retry-After header, if the client should come back.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: JsonObject | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.status: JsonObject = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }
        if details is None:
            del self.status["details"]
        if not reason:
            del self.status["reason"]


def qualified(plural: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group."""
    return f"{plural}.{group}" if group else plural


def details_of(name: str, group: str, kind: str, **more: Any) -> JsonObject:
    """Status details in the order and with the omissions of the API server."""
    details: JsonObject = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details.update(more)
    return details


def not_found(group: str, plural: str, name: str) -> ApiError:
    """404 for a named object."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details_of(name, group, plural))


def no_such_resource() -> ApiError:
    """404 for a resource or subresource that is not served."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """409 for a create."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details_of(name, group, plural))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """409 for a write that lost a race."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details_of(name, group, plural))


def stale(group: str, plural: str, name: str) -> ApiError:
    """409 for a wrong resourceVersion."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(group, plural, name, why)


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    """403 with the API server's prefix for the resource it is about."""
    if not plural:
        message = f"forbidden: {why}"
    elif name:
        message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    else:
        message = f"{qualified(plural, group)} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, details_of(name, group, plural))


def invalid(group: str, kind: str, name: str, causes: Sequence[tuple[str, str, str]]) -> ApiError:
    """422 with one cause for each (reason, field, message).

    The message repeats the causes as the API server's aggregate does.
    """
    texts = [f"{field}: {message}" for _, field, message in causes]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {joined}'
    if not kind and group:
        message = f'.{group} "{name}" is invalid: {joined}'
    listed = [{"reason": r, "message": m, "field": f} for r, f, m in causes]
    return ApiError(422, "Invalid", message, details_of(name, group, kind, causes=listed))


def expired(message: str) -> ApiError:
    """410 for a resourceVersion or continue token that history no longer covers."""
    return ApiError(410, "Expired", message)


def too_large_version(wanted: int, current: int) -> ApiError:
    """504 for a resourceVersion from the future (another cluster's, or an earlier life of this one)."""
    text = "Too large resource version"
    return ApiError(
        504,
        "Timeout",
        f"{text}: {wanted}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": text}],
            "retryAfterSeconds": 1,
        },
        retry_after=1,
    )


def method_not_allowed(method: str) -> ApiError:
    """405."""
    del method
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        {},
    )


def not_acceptable(accepted: str) -> ApiError:
    """406."""
    message = f"406: Not Acceptable\n\nAvailable representations: {accepted}"
    return ApiError(406, "NotAcceptable", message, {})


def unsupported_media_type(accepted: str) -> ApiError:
    """415."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + accepted
    )
    return ApiError(415, "UnsupportedMediaType", message)


def unsupported_patch() -> ApiError:
    """415 for a kind of patch that the resource does not take."""
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def too_large(limit: int) -> ApiError:
    """413 for a body over the limit."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {})


def internal(message: str) -> ApiError:
    """500."""
    return ApiError(
        500,
        "InternalError",
        f"Internal error occurred: {message}",
        {"causes": [{"message": message}]},
    )
