"""The local HTTP API put together: every path and what answers it."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from pipeops.agent.local_api.dashboard import DashboardPage
from pipeops.agent.local_api.http import Answer, Page
from pipeops.agent.local_api.log_tail import LogTail
from pipeops.agent.local_api.origins import OriginRule
from pipeops.agent.local_api.pages import DetailPages
from pipeops.agent.local_api.pulse import Pulse
from pipeops.agent.local_api.realtime import RealtimePages
from pipeops.agent.local_api.server import LocalServer
from pipeops.agent.local_api.status import StatusPages
from pipeops.agent.local_api.websocket import WebSocketPage
from pipeops.agent.metrics.exposition import CONTENT_TYPE
from pipeops.agent.metrics.families import Metrics
from pipeops.agent.observed.agent import Observed


class LocalApi:
    """The endpoints of one agent.

    Attributes:
        server: the Service that answers them.
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
    ) -> None:
        dropped: Counter[str] = Counter()
        rule = OriginRule(origins)
        pulse = Pulse(loop)
        self.logs = LogTail(loop)
        pages: dict[str, Page] = {"/metrics": lambda _: self._scrape()}
        pages |= StatusPages(observed).pages() | DetailPages(observed).pages()
        pages |= RealtimePages(observed, self.logs, rule, pulse, loop, dropped).pages()
        pages |= WebSocketPage(observed, self.logs, rule, pulse, loop, dropped).pages()
        pages |= DashboardPage(rule).pages()
        self.paths = tuple(pages)
        self.server = LocalServer(pages, host=host, port=port, debug=debug)
        self.metrics = Metrics(observed, self.server, dropped)

    def _scrape(self) -> Answer:
        return Answer(200, self.metrics.text(), CONTENT_TYPE)
