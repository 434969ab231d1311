"""The published routes as people are shown them: one row each, and why some are not published."""

from itertools import islice
from typing import Final

from pipeops.agent.ingress.bodies import Circumstances
from pipeops.agent.ingress.book import RouteBook
from pipeops.agent.ingress.publisher import RoutePublisher
from pipeops.agent.ingress.routes import RouteKey, RouteSpec

MAX_ROWS: Final = 200
#: Of these, kept for what is not published.
MAX_REMARKS: Final = 50


def rows(
    publisher: RoutePublisher, book: RouteBook, around: Circumstances
) -> list[dict[str, object]]:
    """The first routes, and the first sources of which something is not published; JSON-ready."""
    remarked = [
        {
            "host": "",
            "path": "",
            "target": "",
            "source": str(source),
            "mode": "",
            "tls": False,
            "state": "not published",
            "reason": remark,
        }
        for source, remark in islice(book.remarks(), MAX_REMARKS)
    ]
    routes = islice(book.routes().items(), MAX_ROWS - len(remarked))
    return [_row(publisher, key, route, around) for key, route in routes] + remarked


def _row(
    publisher: RoutePublisher, key: RouteKey, route: RouteSpec, around: Circumstances
) -> dict[str, object]:
    refusal = publisher.refused.get(key)
    if refusal is not None and refusal.route == route:
        state, reason = "refused", refusal.reason
    elif publisher.acked.get(key) == route:
        state, reason = "registered", ""
    else:
        state, reason = "pending", ""
    return {
        "host": key.host or "*",
        "path": f"{key.path} ({key.path_type.value})",
        "target": f"{route.namespace}/{route.service}:{route.port}",
        "source": str(route.source),
        "mode": around.mode(route),
        "tls": route.tls,
        "state": state,
        "reason": reason,
    }
