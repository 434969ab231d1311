"""ConnectionObserved: the control plane connection as it is, since when, and why it is down."""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec import UNSET

from pipeops.agent.observed.events import EventBus
from pipeops.protocol.messages.envelope import format_time
from pipeops.protocol.messages.registration import RegisterSuccess
from pipeops.runtime.logs import get_logger
from pipeops.runtime.redaction import redact_text

log = get_logger(__name__)

KEPT_ERRORS = 20


class ConnectionState(StrEnum):
    """States as the Go agent names them; `NUMBERS` has their metric values."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"


NUMBERS = {state: number for number, state in enumerate(ConnectionState)}


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane knows us as."""

    cluster_id: str
    cluster_uuid: str = ""
    name: str = ""
    status: str = ""
    workspace_id: str = ""


def registration_of(success: RegisterSuccess) -> Registration:
    """What an answer to `register` says; texts are cut."""

    def text(value: object) -> str:
        return "" if value is UNSET else str(value)[:256]

    return Registration(
        cluster_id=text(success.cluster_id),
        cluster_uuid=text(success.cluster_uuid),
        name=text(success.name),
        status=text(success.status),
        workspace_id=text(success.workspace_id),
    )


class Failure(msgspec.Struct, frozen=True):
    """One failure, for the list of the last ones."""

    timestamp: str
    error: str


class ConnectionObserved:
    """Told by the connection loop; every method is synchronous and costs no request.

    Attributes:
        registered: the control plane has taken us at least once.
        stopping: the agent has been told to stop and takes nothing new; set by who drains it.
        registration: what it said last.
        registrations: how often it has.
        followers: called after every registration and every change of state.
        down_since: when the connection was lost or first tried, by `now`; None while it is up.
        failures: attempts that failed since it was up last.
        reconnects: attempts to get it back.
        last_error: why it is, or was last, down.
        retry_at: when it is tried again, by `now`; None while it is up or being tried.
    """

    def __init__(
        self, now: Callable[[], float], wall: Callable[[], datetime], events: EventBus
    ) -> None:
        self._now = now
        self._wall = wall
        self._events = events
        self.state = ConnectionState.DISCONNECTED
        self.state_since = now()
        self.state_changes = dict.fromkeys(ConnectionState, 0)
        self.registered = False
        self.stopping = False
        self.registration: Registration | None = None
        self.registrations = 0
        self.followers: list[Callable[[], None]] = []
        self.registration_attempts = 0
        self.registration_failures = 0
        self.down_since: float | None = None
        self._down_before = 0.0
        self.failures = 0
        self.reconnects = 0
        self.last_error = ""
        self.retry_at: float | None = None
        self.errors: deque[Failure] = deque(maxlen=KEPT_ERRORS)

    @property
    def connected(self) -> bool:
        """The tunnel is up and the control plane has registered us on it."""
        return self.state is ConnectionState.CONNECTED

    @property
    def down_seconds(self) -> float:
        """Seconds without a connection since the agent started, the present loss included."""
        current = 0.0 if self.down_since is None else self._now() - self.down_since
        return self._down_before + current

    @property
    def unhealthy_seconds(self) -> float:
        """Seconds of the present loss; 0 while connected."""
        return 0.0 if self.down_since is None else self._now() - self.down_since

    # -- told by the connection ------------------------------------------------------------

    def trying(self) -> None:
        """A dial with registration begins."""
        self.retry_at = None
        self.registration_attempts += 1
        if self.registered:
            self.reconnects += 1
        if self.down_since is None:
            self.down_since = self._now()
        self._change(
            ConnectionState.RECONNECTING if self.registered else ConnectionState.CONNECTING
        )

    def registering_again(self) -> None:
        """The control plane asked us to register anew on a connection that is up."""
        self.registration_attempts += 1

    def up(self, registration: Registration) -> None:
        """Registered."""
        self.registration = registration
        self.registrations += 1
        self.registered = True
        if self.down_since is not None:
            self._down_before += self._now() - self.down_since
            self.down_since = None
        self.failures = 0
        self._events.tell(
            "registration", ok=True, cluster_id=registration.cluster_id, name=registration.name
        )
        if self.state is ConnectionState.CONNECTED:
            self._tell_followers()
        self._change(ConnectionState.CONNECTED)

    def registration_failed(self, error: str) -> None:
        """An attempt ended without a registration; `down` follows."""
        self.registration_failures += 1
        self._events.tell("registration", ok=False, error=error)

    def down(self, error: str) -> None:
        """The connection is not there, or not any more."""
        if self.down_since is None:
            self.down_since = self._now()
        self.failures += 1
        self.last_error = redact_text(error, 512)
        self.errors.append(Failure(format_time(self._wall()), self.last_error))
        self._change(
            ConnectionState.RECONNECTING if self.registered else ConnectionState.CONNECTING,
            self.last_error,
        )

    def waiting(self, seconds: float) -> None:
        """Nothing is tried for so long."""
        self.retry_at = self._now() + seconds

    def ended(self) -> None:
        """The agent gives up or stops."""
        if self.down_since is None:
            self.down_since = self._now()
        self.retry_at = None
        self._change(ConnectionState.DISCONNECTED)

    def _change(self, state: ConnectionState, reason: str = "") -> None:
        old = self.state
        if state is old:
            return
        self.state = state
        self.state_since = self._now()
        self.state_changes[state] += 1
        log.info("Connection state changed", old_state=old.value, new_state=state.value)
        self._events.tell("state_change", old=old.value, new=state.value, reason=reason)
        self._tell_followers()

    def _tell_followers(self) -> None:
        for follower in self.followers:
            follower()
