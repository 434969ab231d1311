"""The local HTTP API put together: every path and what answers it."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from pipeops.agent.local_api.dashboard import DashboardPage
from pipeops.agent.local_api.http import Answer, Page
from pipeops.agent.local_api.kube_passage import PREFIXES, KubePassage
from pipeops.agent.local_api.log_tail import LogTail
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.pages import DetailPages
from pipeops.agent.local_api.pod_logs import PodLogs
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.realtime import RealtimePages
from pipeops.agent.local_api.server import LocalServer
from pipeops.agent.local_api.status import StatusPages
from pipeops.agent.local_api.websocket import WebSocketPage
from pipeops.agent.metrics.exposition import CONTENT_TYPE
from pipeops.agent.metrics.families import Metrics
from pipeops.agent.observed.agent import Observed
from pipeops.kube.config import KubeAccess
from pipeops.runtime.supervisor import Service

#: Every path, and what it answers; `docs/reference/agent-api.md` is made of it.
ENDPOINTS: Final = {
    "/health": "200 while the process answers, whatever the connection does: the liveness probe",
    "/ready": "503 until registered, and when disconnected for more than 30 s (at once with "
    "`agent.truthful_readiness_probe`), with the reason: the readiness probe",
    "/version": "version of the program and of Python; the Go agent's `go_version` carries Python's",
    "/metrics": "Prometheus' text format; the metrics are listed below",
    "/api/health/detailed": "connection, heartbeats, tunnel, process and checks; `status` is `healthy`, `degraded` "
    "or `unhealthy`, the answer always 200",
    "/api/status/features": "which features are on now",
    "/api/metrics/runtime": "memory, processor time, garbage collections, tasks and threads (as `goroutines`)",
    "/api/status/connectivity": "what the last contact with the Kubernetes API and with the control plane showed",
    "/api/realtime/events": "server-sent events: `connected`, `state_change`, `registration`, `heartbeat`, `lane`, "
    "`request_failed`, and `health_update` every 10 s; `?snapshots=1` adds the last events and a `snapshot` of all "
    "figures every 2 s",
    "/api/realtime/logs": "server-sent events: the agent's own log, the last `tail` records (100, at most 1000), then "
    "what follows, not below `level` (debug). With `pod` (and `namespace`, `container`, `tail`, `previous`): the log of "
    "a container, with a bearer token of the caller's own, for which the cluster's RBAC decides",
    "/ws": "WebSocket: `ping`, `get_status`, `get_metrics`, and `subscribe` with `topics` of `health`, `events`, `logs`",
    "/dashboard": "the same for people, as a page that needs nothing from elsewhere",
    "/static/dashboard.html": "the same page under the Go agent's path",
}


class LocalApi:
    """The endpoints of one agent.

    Attributes:
        server: answers them.
        services: what must run for that.
        logs: give its `tap` to `runtime.logs.tapped`.
        metrics: rooms with metrics of their own add them here.
    """

    def __init__(
        self,
        observed: Observed,
        loop: asyncio.AbstractEventLoop,
        *,
        host: str = "",
        port: int = 8080,
        origins: Iterable[str] = (),
        debug: bool = False,
        access: KubeAccess | None = None,
        passage: bool = False,
    ) -> None:
        """`access` says where the cluster is, whose API is offered here with `passage`; its credential is not used here."""
        dropped: Counter[str] = Counter()
        rule = OriginRule(origins)
        pulse = Pulse(loop)
        self.logs = LogTail(loop)
        pages: dict[str, Page] = {"/metrics": lambda _: self._scrape()}
        pages |= StatusPages(observed).pages() | DetailPages(observed).pages()
        pods = PodLogs(access, pulse, dropped, loop)
        pages |= RealtimePages(observed, self.logs, rule, pulse, loop, dropped, pods.page).pages()
        pages |= WebSocketPage(observed, self.logs, rule, pulse, loop, dropped).pages()
        pages |= DashboardPage(rule).pages()
        self.paths = tuple(pages)
        self.services: list[Service] = [pods]
        below: dict[str, Page] = {}
        if passage and access is not None:
            kube = KubePassage(access, rule, loop)
            below = dict.fromkeys(PREFIXES, kube.page)
            self.services.append(kube)
        self.server = LocalServer(pages, host=host, port=port, debug=debug, below=below)
        self.services.insert(0, self.server)
        self.metrics = Metrics(observed, self.server, dropped)

    def _scrape(self) -> Answer:
        return Answer(200, self.metrics.text(), CONTENT_TYPE)
