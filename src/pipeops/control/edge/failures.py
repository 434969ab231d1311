"""What a listener's clients are told when their request fails: a metav1.Status where kubectl listens."""

from typing import Protocol

from pipeops.control.edge.exchange import ClientRequest
from pipeops.protocol.exchange.status import Hop, status_response, text_response


class FailureAnswer(Protocol):
    """Makes the answer to a failed request; one for each listener."""

    def __call__(
        self,
        request: ClientRequest | None,
        code: int,
        message: str,
        hop: Hop,
        *,
        request_id: str,
        retry_after: int,
        close: bool,
    ) -> tuple[int, bytes, bytes]:
        """Status, head and body; without a request its head could not be read."""


def kube_failure(
    request: ClientRequest | None,
    code: int,
    message: str,
    hop: Hop,
    *,
    request_id: str,
    retry_after: int,
    close: bool,
) -> tuple[int, bytes, bytes]:
    """FailureAnswer: a metav1.Status, or plain text where client-go shows nothing else."""
    make = status_response
    if code > 500 and request is not None and request.is_discovery:
        code, make = 502, text_response
    head, body = make(
        code, message, hop=hop, request_id=request_id, retry_after=retry_after, close=close
    )
    return code, head, body
