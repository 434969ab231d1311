"""PipeOpsKube: requests to clusters whose agent speaks the PipeOps dialect; raw streams where they work, JSON else."""

from collections.abc import Callable
from datetime import datetime

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.edge.json_kube import JsonKube
from pipeops.control.edge.l4_kube import L4Kube
from pipeops.control.edge.pipeops_dialect.exchange import CallLater
from pipeops.control.edge.pipeops_dialect.identity import UserRefused, check_principal
from pipeops.control.edge.pipeops_dialect.lane import NOT_PASSED_ON, JsonLane
from pipeops.control.edge.relay_kube import RelayKube
from pipeops.control.sessions.registry import AgentInstance, Lane
from pipeops.protocol.exchange.header_shapes import HeaderLines
from pipeops.protocol.exchange.status import Hop
from pipeops.runtime.budget import Budget
from pipeops.runtime.tasks import TaskScope

MAX_WAITING = 64 * 1024 * 1024  # bytes kept for slow clients, all JSON requests together
RETRY_AFTER = 1
MAX_ACCEPTED = 1024  # users who need not be looked at again
MAX_ACCEPTED_BYTES = 4 * 1024  # of one

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
        self._accepted: dict[bytes, None] = {}  # users that agents take, as grants encode them
        self._lines = HeaderLines(NOT_PASSED_ON)
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
            self._check(grant)
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

    def _check(self, grant: Grant) -> None:
        if grant.encoded in self._accepted:
            return
        check_principal(grant.principal)
        if len(grant.encoded) <= MAX_ACCEPTED_BYTES:
            if len(self._accepted) >= MAX_ACCEPTED:
                self._accepted.pop(next(iter(self._accepted)))
            self._accepted[grant.encoded] = None

    def _of(self, lane: Lane) -> JsonLane:
        requests = lane.answers
        if not isinstance(requests, JsonLane):
            requests = lane.answers = JsonLane(
                lane, self._budget, wall=self._wall, lines=self._lines
            )
        return requests
