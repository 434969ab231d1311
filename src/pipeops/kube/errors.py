"""What may go wrong between us and a cluster's API server.

```text
PipeOpsError
└─ KubeError
   ├─ KubeConfigError        kubeconfig or in-cluster settings are missing or wrong
   ├─ CredentialError        a token file, certificate or exec plugin gives no credential   retryable
   ├─ KubeUnreachable        no connection, no TLS, no answer in time                       retryable
   ├─ KubeAnswerError        an answer that is not the Kubernetes API's
   │  └─ AnswerTooLarge      more than was allowed for
   └─ ApiStatusError         the API server refused: status, reason, message
      ├─ Unauthorized 401 · Forbidden 403 · NotFound 404 · Conflict 409 · Gone 410
      ├─ TooManyRequests 429                                                                retryable
      └─ ServerUnavailable 5xx                                                              retryable
```
"""

from typing import ClassVar

from pipeops.errors import PipeOpsError


class KubeError(PipeOpsError):
    """Base of everything this package raises."""


class KubeConfigError(KubeError):
    """The settings that say where the cluster is cannot be used; the message names the file."""


class CredentialError(KubeError):
    """The source of a credential gave none."""

    retryable: ClassVar[bool] = True


class KubeUnreachable(KubeError):
    """The API server could not be reached or did not answer in time."""

    retryable: ClassVar[bool] = True


class KubeAnswerError(KubeError):
    """Something answered that does not speak the Kubernetes API."""


class AnswerTooLarge(KubeAnswerError):
    """An answer beyond its limit: ask for less at once."""


class ApiStatusError(KubeError):
    """The API server answered with an error status."""

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after: float | None
    ) -> None:
        """`reason` is `metav1.Status.reason`, `retry_after` is in seconds."""
        super().__init__(f"the API server answered {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def too_new(self) -> bool:
        """Whether we asked for a resource version the server has not reached (yet, or any more)."""
        return self.status == 504 and "Too large resource version" in self.message


class Unauthorized(ApiStatusError):
    """401: the credential is wrong or has expired."""


class Forbidden(ApiStatusError):
    """403: known, but not allowed."""


class NotFound(ApiStatusError):
    """404: no such object, or no such API."""


class Conflict(ApiStatusError):
    """409: it exists already, or has changed meanwhile."""


class Gone(ApiStatusError):
    """410: the resource version is too old; list again."""


class TooManyRequests(ApiStatusError):
    """429: wait for `retry_after` seconds."""

    retryable: ClassVar[bool] = True


class ServerUnavailable(ApiStatusError):
    """5xx: the API server, or what stands before it, is in trouble."""

    retryable: ClassVar[bool] = True


_BY_STATUS: dict[int, type[ApiStatusError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}


def status_error(
    status: int, reason: str, message: str, *, retry_after: float | None = None
) -> ApiStatusError:
    """Return the error class that fits an HTTP status."""
    kind = _BY_STATUS.get(status, ServerUnavailable if status >= 500 else ApiStatusError)
    return kind(status, reason, message, retry_after=retry_after)
