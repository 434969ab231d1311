import pytest

from pipeops.kube import errors


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, errors.Unauthorized, False),
        (403, errors.Forbidden, False),
        (404, errors.NotFound, False),
        (409, errors.Conflict, False),
        (410, errors.Gone, False),
        (429, errors.TooManyRequests, True),
        (500, errors.ServerUnavailable, True),
        (504, errors.ServerUnavailable, True),
        (422, errors.ApiStatusError, False),
    ],
)
def test_status_decides_the_class(status, kind, retryable):
    error = errors.status_error(status, "Why", "words", retry_after=3)
    assert type(error) is kind
    assert error.retryable is retryable
    assert (error.status, error.reason, error.message, error.retry_after) == (
        status,
        "Why",
        "words",
        3,
    )
    assert str(error) == f"the API server answered {status} Why: words"
