"""JsonKube: plain requests to clusters whose agent speaks the PipeOps dialect only (reference protocol §2.5)."""

from pipeops.control.auth.grants import Grant
from pipeops.control.edge.exchange import Client, ClientRequest, Exchange
from pipeops.control.sessions.registry import AgentInstance
from pipeops.protocol.exchange.status import Hop


class JsonKube:
    """Sends `proxy_request` and turns the answers into a response.

    Such an agent adds no credential of its own: the control plane must send one, and it refuses users while it has none.
    """

    def open(
        self,
        request: ClientRequest,
        client: Client,
        instance: AgentInstance,
        path: bytes,
        grant: Grant,
    ) -> Exchange | None:
        """Start a request."""
        del request, path, grant
        client.fail(
            503,
            f"the agent of this cluster ({instance.version or 'unknown version'}) speaks the PipeOps dialect, "
            "for which this control plane has no credential of the cluster",
            Hop.CONTROL_PLANE,
        )
        return None
