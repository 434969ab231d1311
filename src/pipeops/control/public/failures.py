"""Failures on public listeners: the visitor gets a page, the reason stays for the access log."""

from dataclasses import replace

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext
from pipeops.control.public.pages import page
from pipeops.control.public.trouble import WORDS, Trouble, of_status
from pipeops.protocol.exchange.status import Hop

_MANY = (Trouble.BAD_REQUEST, Trouble.UNSUPPORTED)  # of several statuses


def public_failure(
    request: ClientRequest | None,
    code: int,
    message: str,
    hop: Hop,
    *,
    request_id: str,
    retry_after: int,
    close: bool,
) -> tuple[int, bytes, bytes]:
    """FailureAnswer: `message` may name what is inside a cluster and is told to nobody outside."""
    trouble = of_status(code, hop)
    # The status says more than the words: 417, 505.
    words = replace(WORDS[trouble], code=code) if trouble in _MANY else WORDS[trouble]
    block = None
    if request is not None:
        block = request.block
        context = request.context
        if isinstance(context, RequestContext):
            context.reason = f"{hop}: {message}"
            words = WORDS[context.trouble] if context.trouble is not None else words
    return page(words, block, request_id, retry_after=retry_after, close=close)
