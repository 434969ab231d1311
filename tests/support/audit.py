"""Reads the audit log of a test cluster's API server: what really arrived, and under which name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class AuditLog:
    """The log from a moment on: what was written before this object (or `mark()`) is skipped.

    The API server writes an event before it ends the response, so after a finished request its line is there;
    a line of a watch, exec or log stream comes twice, with stage `ResponseStarted` and `ResponseComplete`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.mark()

    def mark(self) -> None:
        """Forget everything until now."""
        self._offset = self._path.stat().st_size if self._path.exists() else 0

    def events(self, **wanted: str) -> Iterator[dict[str, Any]]:
        """Events since the mark whose top-level fields equal `wanted` (for example `verb="list"`)."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # still being written
                event = json.loads(line)
                if all(event.get(key) == value for key, value in wanted.items()):
                    yield event


def acting_user(event: dict[str, Any]) -> str:
    """The user whose permissions decided: the impersonated one if there is one."""
    return str((event.get("impersonatedUser") or event["user"])["username"])
