"""PipeOpsKube: requests to clusters whose agent speaks the PipeOps dialect; raw streams where they work, JSON else."""

from collections.abc import Callable
from datetime import datetime

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.json_kube import JsonKube
from pipeops.control.edge.l4_kube import L4Kube
from pipeops.control.edge.pipeops_dialect.exchange import CallLater
from pipeops.control.edge.pipeops_dialect.identity import UserRefused, check_principal
from pipeops.control.edge.pipeops_dialect.lane import JsonLane
from pipeops.control.edge.relay_kube import RelayKube
from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.budget import Budget
from pipeops.runtime.tasks import TaskScope

MAX_WAITING = 64 * 1024 * 1024  # bytes kept for slow clients, all JSON requests together
RETRY_AFTER = 1

NO_CREDENTIAL = (
    "the agent of this cluster speaks the PipeOps dialect, in which the control plane must send a credential for the "
    "Kubernetes API, and the agent registered none; let it send its ServiceAccount token, or install pipeops-agent"
)


class PipeOpsKube:
    """Such agents add no identity: the control plane impersonates the user with the credential the agent registered."""

    def __init__(
        self,
        scope: TaskScope,
        *,
        now: Callable[[], float],
        wall: Callable[[], datetime],
        call_later: CallLater,
    ) -> None:
        self._wall = wall
        self._budget = Budget(MAX_WAITING)
        self._json = JsonKube(call_later)
        self._raw = L4Kube(scope, now=now)
        self._relay = RelayKube(call_later)

    def open(
        self,
        request: ClientRequest,
        client: Client,
        instance: AgentInstance,
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        """Start a request; None if it has been answered."""
        lane = instance.lanes.get(0)
        if lane is None:
            client.fail(503, "the agent is just connecting", Hop.TUNNEL, retry_after=RETRY_AFTER)
            return None
        credential = instance.credential
        if credential is None:
            client.fail(503, NO_CREDENTIAL, Hop.CONTROL_PLANE)
            return None
        try:
            check_principal(grant.principal)
        except UserRefused as refusal:
            client.fail(403, str(refusal), Hop.CONTROL_PLANE)
            return None
        requests = self._of(lane)
        if self._raw.ready(requests, lane):
            return self._raw.open(request, client, requests, credential, path, grant)
        state = self._raw.prove(requests, lane, instance, grant.principal)
        if request.block.upgrade is None:
            return self._json.open(request, client, requests, credential, path, grant)
        if state is None:
            return self._relay.open(request, client, requests, credential, path, grant)
        return self._raw.open_later(request, client, requests, state, credential, path, grant)

    def _of(self, lane: Lane) -> JsonLane:
        requests = lane.answers
        if not isinstance(requests, JsonLane):
            requests = lane.answers = JsonLane(lane, self._budget, wall=self._wall)
        return requests
