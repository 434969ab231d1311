"""Failures on public listeners: the visitor gets a page, the reason stays for the access log."""

from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext
from pipeops.control.public.pages import page
from pipeops.control.public.trouble import WORDS, of_status
from pipeops.protocol.exchange.status import Hop


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
    block = None
    if request is not None:
        block = request.block
        context = request.context
        if isinstance(context, RequestContext):
            context.reason = f"{hop}: {message}"
            trouble = context.trouble or trouble
    return page(WORDS[trouble], block, request_id, retry_after=retry_after, close=close)
