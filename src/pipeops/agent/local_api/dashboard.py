"""/dashboard: one self-contained page; its Content-Security-Policy allows its own script and style, nothing else."""

import base64
import hashlib
from functools import cached_property
from pathlib import Path

from pipeops.agent.local_api.http import Answer, Page, Request, Stream, text
from pipeops.agent.local_api.origins import OriginRule

HTML = "text/html; charset=utf-8"
_HERE = Path(__file__).parent / "page"


class DashboardPage:
    """Put together and hashed at the first request: agents that nobody looks at keep no page in memory."""

    def __init__(self, origins: OriginRule) -> None:
        self._origins = origins

    def pages(self) -> dict[str, Page]:
        """Path to page; the second is the Go agent's."""
        return {"/dashboard": self.show, "/static/dashboard.html": self.show}

    def show(self, request: Request) -> Answer | Stream:
        """The page."""
        objection = self._origins.objection(request.head)
        return text(403, objection) if objection is not None else self._answer

    @cached_property
    def _answer(self) -> Answer:
        style = (_HERE / "dashboard.css").read_text("utf-8")
        script = (_HERE / "dashboard.js").read_text("utf-8")
        page = (_HERE / "dashboard.html").read_text("utf-8")
        page = page.replace("/*style*/", style, 1).replace("/*script*/", script, 1)
        policy = (
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        return Answer(200, page.encode(), HTML, headers)


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
