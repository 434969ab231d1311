"""PublicAccessLog: one JSON line for each public request, with route, cluster and what really happened."""

from pipeops.control.edge.access_log import AccessLog
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext


class PublicAccessLog(AccessLog):
    """An AccessLog of its own: neither queue nor lines are shared with the listener for agents and kubectl."""

    def request(
        self, request: ClientRequest, status: int, sent: int, now: float, outcome: str
    ) -> None:
        """One request has ended, `now` by the loop's clock."""
        if not self._enabled:
            return
        context = request.context
        host, route, cluster, way = "", b"", "", ""
        if isinstance(context, RequestContext):
            host, way = context.host, context.way
            outcome = context.reason or outcome
            if context.state is not None:
                route, cluster = context.state.label, context.state.route.cluster
        self.line(
            b'"msg":"public request","request_id":"%b","peer":%b,"host":%b,"method":"%b","target":%b,'
            b'"route":%b,"cluster":%b,"way":"%b","status":%d,"bytes":%d,"ms":%.1f,"outcome":%b'
            % (
                request.request_id,
                self._quoted(request.peer.encode("utf-8", "replace")),
                self._quoted(host.encode()),
                request.method,
                self.target(request.target),
                self._quoted(route),
                self._quoted(cluster.encode()),
                way.encode(),
                status,
                sent,
                (now - request.started) * 1e3,
                self._quoted(outcome.encode("utf-8", "replace")),
            ),
            now,
        )
