"""The page is one file, and its policy allows exactly what is in it."""

import base64
import hashlib
import re

from pipeops.agent.local_api.dashboard import DashboardPage
from pipeops.agent.local_api.http import Answer
from pipeops.agent.local_api.origins import OriginRule
from tests.unit.agent.local_api.bench import ask


def page() -> Answer:
    return ask(DashboardPage(OriginRule()).show)


def test_script_and_style_are_allowed_by_their_hashes_and_nothing_else() -> None:
    answer = page()
    policy = answer.headers["Content-Security-Policy"]
    text = answer.body.decode()
    for tag in ("script", "style"):
        (source,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inserted_as_html() -> None:
    text = page().body.decode()
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    assert "innerHTML" not in text
    assert not re.findall(r"\son\w+=", text), "handlers in attributes would be blocked"
    assert not re.findall(r"\sstyle=", text), "styles in attributes would be blocked"


def test_it_is_put_together_once() -> None:
    pages = DashboardPage(OriginRule())
    assert ask(pages.show) is ask(pages.pages()["/static/dashboard.html"])


def test_a_name_pointed_at_us_does_not_get_it() -> None:
    assert ask(DashboardPage(OriginRule()).show, "/dashboard", "Host: evil.example").status == 403
