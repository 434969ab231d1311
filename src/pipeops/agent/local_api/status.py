"""Health, readiness and version as the Go agent's probes show them, with true values (reference agent-core §3.2–3.4)."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from pipeops import __version__
from pipeops.agent.local_api.server import Answer, Page
from pipeops.protocol.messages.envelope import format_time

DISCONNECTED_LIMIT = 30.0  # seconds without a tunnel until /ready says so (design §1)
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: clients parse it

_encode = msgspec.json.Encoder(order="sorted").encode


class Connection(Protocol):
    """What the probes ask of the control plane connection; plain attributes, nothing is requested."""

    connected: bool
    registered: bool
    down_since: float | None
    last_heartbeat: float | None
    failures: int
    stopping: bool


@dataclass(frozen=True, slots=True)
class StatusPages:
    """The probe pages.

    Args:
        now: clock of `down_since` and `last_heartbeat`, seconds.
        wall: wall time.
        truthful: `/ready` follows the tunnel also after the first registration.
        version: what `/health` calls the version.
    """

    connection: Connection
    now: Callable[[], float]
    wall: Callable[[], datetime]
    truthful: bool = False
    version: str = __version__

    def pages(self) -> dict[str, Page]:
        """Path to page."""
        return {"/health": self.health, "/ready": self.ready, "/version": self.show_version}

    def health(self) -> Answer:
        """The process answers; always 200."""
        connection = self.connection
        return self._json(
            200,
            status="healthy",
            version=self.version,
            connected=connection.connected,
            registered=connection.registered,
            connection_state=self.state(),
        )

    def ready(self) -> Answer:
        """503 until registered, and when the tunnel has been down for longer than DISCONNECTED_LIMIT."""
        connection = self.connection
        reason = self._not_ready()
        common = {
            "connected": connection.connected,
            "registered": connection.registered,
            "connection_state": self.state(),
        }
        if reason:
            return self._json(
                503,
                status="not_ready",
                healthy=False,
                consecutive_failures=connection.failures,
                time_since_heartbeat=self._age(),
                reason=reason,
                **common,
            )
        if not self.truthful:
            note = "set PIPEOPS_TRUTHFUL_READINESS_PROBE=true for a probe that follows the tunnel closely"
            return self._json(200, status="ready", mode="backward_compatible", note=note, **common)
        return self._json(
            200,
            status="ready",
            healthy=True,
            last_heartbeat=self._last_heartbeat(),
            time_since_heartbeat=self._age(),
            **common,
        )

    def show_version(self) -> Answer:
        """What runs here."""
        python = f"python{platform.python_version()}"
        return self._json(
            200,
            version=__version__,
            git_commit="unknown",
            build_date="unknown",
            go_version=python,
            python_version=platform.python_version(),
            implementation="python",
            full_version=f"{__version__} (unknown, {python})",
        )

    def state(self) -> str:
        """`connected`, `connecting` before the first registration, else `reconnecting`."""
        if self.connection.connected:
            return "connected"
        return "reconnecting" if self.connection.registered else "connecting"

    def _not_ready(self) -> str:
        connection = self.connection
        if connection.stopping:
            return "the agent is stopping"
        if not connection.registered:
            return "not registered with the control plane yet"
        if connection.connected or connection.down_since is None:
            return ""
        seconds = self.now() - connection.down_since
        if self.truthful or seconds > DISCONNECTED_LIMIT:
            return f"disconnected from the control plane for {seconds:.0f} s"
        return ""

    def _age(self) -> str:
        last = self.connection.last_heartbeat
        return "0s" if last is None else f"{self.now() - last:.3f}s"

    def _last_heartbeat(self) -> str:
        last = self.connection.last_heartbeat
        if last is None:
            return NEVER
        moment = self.wall().timestamp() - (self.now() - last)
        return format_time(datetime.fromtimestamp(moment, self.wall().tzinfo))

    def _json(self, code: int, **fields: Any) -> Answer:
        return Answer(code, _encode({**fields, "timestamp": format_time(self.wall())}))
