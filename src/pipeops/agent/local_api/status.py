"""Health, readiness and version as the Go agent's probes show them, with true values (reference agent-core §3.2–3.4)."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from pipeops import __version__
from pipeops.agent.local_api.http import Answer, Page, Request
from pipeops.agent.observed.agent import DOWN_LIMIT, Observed
from pipeops.agent.observed.process import python_version
from pipeops.protocol.messages.envelope import format_time
from pipeops.runtime.build import this_build

NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: clients parse it

_encode = msgspec.json.Encoder(order="sorted").encode


def go_duration(seconds: float) -> str:
    """Seconds as Go writes a duration: `1h2m3.456s`."""
    milliseconds = round(max(seconds, 0.0) * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    last = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{last}"
    return f"{minutes}m{last}" if minutes else last


class StatusPages:
    """The probe pages."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def pages(self) -> dict[str, Page]:
        """Path to page."""
        return {"/health": self.health, "/ready": self.ready, "/version": self.show_version}

    def health(self, _: Request) -> Answer:
        """The process answers; always 200."""
        return self._json(
            200, status="healthy", version=self._observed.about.version, **self._connection()
        )

    def ready(self, _: Request) -> Answer:
        """503 until registered, and when the tunnel has been down for longer than DOWN_LIMIT."""
        observed = self._observed
        reason = self._not_ready()
        if reason:
            return self._json(
                503,
                status="not_ready",
                healthy=False,
                consecutive_failures=observed.connection.failures,
                time_since_heartbeat=heartbeat_age(observed),
                reason=reason,
                **self._connection(),
            )
        if not observed.truthful:
            note = "set PIPEOPS_TRUTHFUL_READINESS_PROBE=true for a probe that follows the tunnel closely"
            return self._json(
                200, status="ready", mode="backward_compatible", note=note, **self._connection()
            )
        return self._json(
            200,
            status="ready",
            healthy=True,
            last_heartbeat=last_heartbeat(observed),
            time_since_heartbeat=heartbeat_age(observed),
            **self._connection(),
        )

    def show_version(self, _: Request) -> Answer:
        """What runs here."""
        python, build = f"python{python_version()}", this_build()
        return self._json(
            200,
            version=__version__,
            git_commit=build.commit,
            build_date=build.date,
            go_version=python,
            python_version=python_version(),
            implementation="python",
            full_version=f"{__version__} ({build.commit}, {python})",
        )

    def _connection(self) -> dict[str, Any]:
        connection = self._observed.connection
        return {
            "connected": connection.connected,
            "registered": connection.registered,
            "connection_state": connection.state.value,
        }

    def _not_ready(self) -> str:
        connection = self._observed.connection
        if connection.stopping:
            return "the agent is stopping"
        if not connection.registered:
            return "not registered with the control plane yet"
        seconds = connection.unhealthy_seconds
        if connection.connected:
            return ""
        if self._observed.truthful or seconds > DOWN_LIMIT:
            return (
                f"disconnected from the control plane for {seconds:.0f} s: {connection.last_error}"
            )
        return ""

    def _json(self, code: int, **fields: Any) -> Answer:
        return Answer(code, _encode({**fields, "timestamp": format_time(self._observed.wall())}))


def heartbeat_age(observed: Observed) -> str:
    """Time since the last heartbeat, as Go writes it; `0s` before the first."""
    last = observed.heartbeats.last
    return "0s" if last is None else go_duration(observed.now() - last)


def last_heartbeat(observed: Observed) -> str:
    """When the last heartbeat was sent; Go's zero time before the first."""
    last = observed.heartbeats.last
    return NEVER if last is None else format_time(moment(observed, last))


def moment(observed: Observed, at: float) -> datetime:
    """Wall time of a point on the monotonic clock."""
    return observed.wall() - timedelta(seconds=observed.now() - at)
