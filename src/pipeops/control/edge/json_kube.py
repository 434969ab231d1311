"""JsonKube: plain requests to clusters whose agent speaks the PipeOps dialect only (reference protocol §2.5, §9.1)."""

from collections.abc import Callable
from datetime import datetime

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.kube import is_watch
from pipeops.control.edge.pipeops_dialect.exchange import CallLater, JsonExchange
from pipeops.control.edge.pipeops_dialect.identity import UserRefused, request_headers
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.edge.pipeops_dialect.watches import cap_watch
from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.protocol.exchange.events import RequestHead
from pipeops.protocol.exchange.status import Hop
from pipeops.protocol.messages.payload import MessageRejected
from pipeops.runtime.budget import Budget

MAX_WAITING = 64 * 1024 * 1024  # bytes kept for slow clients, all requests together
RETRY_AFTER = 1

NO_CREDENTIAL = (
    "the agent of this cluster speaks the PipeOps dialect, in which the control plane must send a credential for the "
    "Kubernetes API, and the agent registered none; let it send its ServiceAccount token, or install pipeops-agent"
)


class JsonKube:
    """Sends `proxy_request` and turns the answers into a response.

    Such an agent adds no credential of its own: the control plane impersonates the user with the one the agent registered.
    """

    def __init__(self, *, wall: Callable[[], datetime], call_later: CallLater) -> None:
        self._wall = wall
        self._call_later = call_later
        self._budget = Budget(MAX_WAITING)

    def open(
        self,
        request: ClientRequest,
        client: Client,
        instance: AgentInstance,
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        """Start a request."""
        lane = instance.lanes.get(0)
        if lane is None:
            client.fail(503, "the agent is just connecting", Hop.TUNNEL, retry_after=RETRY_AFTER)
            return None
        if instance.credential is None:
            client.fail(503, NO_CREDENTIAL, Hop.CONTROL_PLANE)
            return None
        if request.block.upgrade is not None:
            client.fail(
                501, "exec, attach, cp and port-forward need a multiplexed agent", Hop.AGENT
            )
            return None
        try:
            headers = request_headers(
                request.block, grant.principal, instance.credential, request.request_id
            )
        except UserRefused as refusal:
            client.fail(403, str(refusal), Hop.CONTROL_PLANE)
            return None
        requests = self._of(lane)
        if requests.full:
            client.fail(503, "too many requests are under way", Hop.TUNNEL, retry_after=RETRY_AFTER)
            return None
        watch = is_watch(request.target)
        head = RequestHead(
            request.method, cap_watch(path) if watch else path, headers, request.body_length
        )
        try:
            exchange = JsonExchange(
                requests,
                client,
                head,
                request.request_id.decode(),
                self._call_later,
                watch=watch,
                minor=request.minor,
            )
        except MessageRejected as error:
            client.fail(
                400, f"the agent of this cluster cannot carry {error.reason}", Hop.CONTROL_PLANE
            )
            return None
        exchange.start(has_body=request.has_body)
        return exchange

    def _of(self, lane: Lane) -> JsonLane:
        requests = lane.answers
        if not isinstance(requests, JsonLane):
            requests = lane.answers = JsonLane(lane, self._budget, wall=self._wall)
        return requests
