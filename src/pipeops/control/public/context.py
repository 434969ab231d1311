"""RequestContext: what the public gateway knows of a request beside what the client sent."""

from dataclasses import dataclass

from pipeops.control.public.route_state import RouteState
from pipeops.control.public.trouble import Trouble


@dataclass(slots=True)
class RequestContext:
    """Kept with the request for the access log and the error page.

    Attributes:
        host: as the client named it, lower case.
        state: of the route that answers, once it is known.
        way: `tunnel`, `direct`, or `gateway` for what the gateway answers itself.
        trouble: what the visitor is told; None: whatever the status says.
        reason: what really happened, for the log only.
    """

    host: str
    state: RouteState | None = None
    way: str = "gateway"
    trouble: Trouble | None = None
    reason: str = ""
