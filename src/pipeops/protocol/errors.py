"""What may go wrong between the two ends of a tunnel.

```text
PipeOpsError
└─ ProtocolError
   ├─ LocalProtocolError       we used the protocol wrongly: a bug, never retried
   ├─ RemoteProtocolError      the peer broke a rule; what it sent is not to be trusted
   ├─ StreamLimitReached       no room for one more stream now                 retryable
   └─ SessionClosed            the session has ended                          retryable
      └─ SessionDraining       the session lives, but takes no new stream     retryable
```

A session never raises because of what its peer sent: it ends itself and says why in
`Session.terminated`. `RemoteProtocolError` is for decoders that are called with one whole
message and can therefore answer with an exception.
"""

from typing import ClassVar

from pipeops.errors import PipeOpsError


class ProtocolError(PipeOpsError):
    """Base of the tunnel protocol's errors."""


class LocalProtocolError(ProtocolError):
    """Our own code broke a rule, for instance sent after its own end of stream."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol forbids."""


class StreamLimitReached(ProtocolError):
    """The session has no room for one more stream; others must end first."""

    retryable: ClassVar[bool] = True

    def __init__(self, what: str, limit: int) -> None:
        """Name the exhausted limit and its value."""
        super().__init__(f"no room for another stream: {what} is limited to {limit}")
        self.limit = limit


class SessionClosed(ProtocolError):
    """The session has ended; a new one may be open already or soon."""

    retryable: ClassVar[bool] = True


class SessionDraining(SessionClosed):
    """The session takes no new streams (peer's go-away, or ids used up); old ones live on."""
