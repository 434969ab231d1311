"""JsonKube: plain requests as `proxy_request` messages (reference protocol §2.5, §9.1)."""

import msgspec

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.kube import is_watch
from pipeops.control.edge.pipeops_dialect.exchange import CallLater, JsonExchange
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.edge.pipeops_dialect.watches import cap_watch
from pipeops.protocol.exchange.events import RequestHead
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.runtime.secrets import Secret


class JsonKube:
    """Sends requests and turns the answers into responses. The principal has been checked."""

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later

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
        request_id = request.request_id
        headers = requests.rendered.render(request.block, grant, credential, request_id)
        watch = is_watch(request.target)
        target = cap_watch(path) if watch else path
        exchange = JsonExchange(
            requests,
            client,
            RequestHead(request.method, target, [], request.body_length),
            request_id.decode(),
            self._call_later,
            watch=watch,
            minor=request.minor,
            headers=msgspec.Raw(headers),
        )
        try:
            exchange.start(has_body=request.has_body)
        except MessageRejected as error:
            client.fail(
                400, f"the agent of this cluster cannot carry {error.reason}", Hop.CONTROL_PLANE
            )
            return None
        return exchange
