"""JsonKube: plain requests as `proxy_request` messages (reference protocol §2.5, §9.1)."""

import msgspec

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.kube import is_watch
from pipeops.control.edge.pipeops_dialect.exchange import CallLater, JsonExchange
from pipeops.control.edge.pipeops_dialect.identity import request_headers
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.edge.pipeops_dialect.watches import cap_watch
from pipeops.protocol.exchange.events import RequestHead
from pipeops.protocol.exchange.pipeops import render_headers
from pipeops.protocol.exchange.principal import Principal
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.runtime.secrets import Secret

MAX_RENDERED = 512  # distinct header blocks of users; a client repeats its block exactly


class JsonKube:
    """Sends requests and turns the answers into responses. The principal has been checked."""

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later
        self._rendered: dict[tuple[bytes, Principal, Secret[str]], bytes] = {}

    def open(
        self,
        request: ClientRequest,
        client: Client,
        requests: JsonLane,
        credential: Secret[str],
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        """Start a request; None if it has been answered."""
        if requests.full:
            client.fail(503, "too many requests are under way", Hop.TUNNEL, retry_after=1)
            return None
        rendered = self._render(request, grant, credential)
        watch = is_watch(request.target)
        target = cap_watch(path) if watch else path
        head = RequestHead(request.method, target, [], request.body_length)
        try:
            exchange = JsonExchange(
                requests,
                client,
                head,
                request.request_id.decode(),
                self._call_later,
                watch=watch,
                minor=request.minor,
                headers=rendered,
            )
        except MessageRejected as error:
            client.fail(
                400, f"the agent of this cluster cannot carry {error.reason}", Hop.CONTROL_PLANE
            )
            return None
        exchange.start(has_body=request.has_body)
        return exchange

    def _render(self, request: ClientRequest, grant: Grant, credential: Secret[str]) -> msgspec.Raw:
        """Headers as JSON; only the request's id differs between a client's requests."""
        key = (request.block.forwarded, grant.principal, credential)
        front = self._rendered.get(key)
        if front is None:
            headers = request_headers(request.block, grant.principal, credential)
            front = bytes(render_headers(headers)).removesuffix(b"}")
            if len(self._rendered) >= MAX_RENDERED:
                self._rendered.pop(next(iter(self._rendered)))
            self._rendered[key] = front
        return msgspec.Raw(b'%b,"Audit-Id":["%b"]}' % (front, request.request_id))
