"""PublicAccessLog: one JSON line for each public request, with route, cluster and what really happened."""

from pipeops.control.edge.access_log import MAX_COLLECTED_LINES, MAX_TARGET, AccessLog
from pipeops.control.edge.exchange import ClientRequest
from pipeops.control.public.context import RequestContext

_NO_ROUTE = b'"route":"","cluster":""'


class PublicAccessLog(AccessLog):
    """An AccessLog of its own: neither queue nor lines are shared with the listener for agents and kubectl."""

    def request(
        self, request: ClientRequest, status: int, sent: int, now: float, outcome: str
    ) -> None:
        """One request has ended, `now` by the loop's clock."""
        if not self._enabled:
            return
        context, text = request.context, self._quoted_text
        host, route, way = "", _NO_ROUTE, ""
        if isinstance(context, RequestContext):
            host, way = context.host, context.way
            outcome = context.reason or outcome
            if context.state is not None:
                route = context.state.logged
        if now != self._at:
            self._at, self._time = now, self._timestamp()
        target = request.target
        line = (
            b'{"time":"%b","level":"info","msg":"public request","request_id":"%b","peer":%b,"host":%b,"method":"%b",'
            b'"target":%b,%b,"way":%b,"status":%d,"bytes":%d,"ms":%.1f,"outcome":%b}\n'
            % (
                self._time,
                request.request_id,
                text(request.peer),
                text(host),
                request.method,
                self._quoted_target(target) if len(target) < MAX_TARGET else self.target(target),
                route,
                text(way),
                status,
                sent,
                (now - request.started) * 1e3,
                text(outcome),
            )
        )
        lines = self._lines
        if 0 < len(lines) < MAX_COLLECTED_LINES:  # as in AccessLog
            lines.append(line)
        else:
            self._put(line)
