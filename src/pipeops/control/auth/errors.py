"""Why a token was not accepted.

```text
PipeOpsError
├─ Unauthenticated             401: no token, or one that does not count
└─ AuthenticationUnavailable   503: the database does not answer                            retryable
```
"""

from typing import ClassVar

from pipeops.errors import PipeOpsError


class Unauthenticated(PipeOpsError):
    """The token is missing, malformed, unknown, expired or revoked: answer 401.

    Attributes:
        hint: What the caller can do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class AuthenticationUnavailable(PipeOpsError):
    """The token cannot be checked just now: answer 503, never let the caller in, never answer 401.

    Agents of the first generation give up for good on a 401.
    """

    retryable: ClassVar[bool] = True
    hint = "the control plane's database does not answer; try again shortly"
