"""The agent's dashboard in a real browser: it renders, is live, says why the connection is down, and fits a phone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, find_browser
from tests.support.fakeapi import FakeApi
from tests.support.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CLUSTER = "shown"
NAME = "<img src=x><b>shown</b>"  # what the agent calls it


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium (Debian's package chromium has one)")
    with Browser(program, tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("dashboard")
    with FakeApi() as api, Stack(directory) as running:
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        token = running.add_cluster(CLUSTER)
        running.start_agent(CLUSTER, token, kubeconfig, "--cluster-name", NAME)
        yield running


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Browser:
    log = stack.log(f"agent-{CLUSTER}").read_text()
    started = re.search(r'"HTTP server started".*?"port":(\d+)', log)
    assert started is not None
    browser.console.clear()
    browser.look(width=1280, height=1200, dark=False)
    browser.open(f"http://127.0.0.1:{started[1]}/dashboard")
    browser.wait("document.querySelectorAll('#features li').length > 3")
    return browser


def request(stack: Stack) -> None:
    status, _ = stack.request("GET", f"/k8s/{CLUSTER}/api/v1/pods", token=stack.admin_token)
    assert status == 200


def test_it_shows_live_values(page: Browser, stack: Stack) -> None:
    assert CLUSTER in page.text("#connection-facts")
    assert page.text("#state") == "connected"
    assert page.text("#health") == "healthy"
    assert stack.url in page.text("#connection-facts")
    assert "v1.33.0" in page.text("#cluster-facts")
    page.wait("document.querySelectorAll('#beats rect').length > 0")
    request(stack)  # what is used gets a second lane
    page.wait("document.querySelectorAll('#lanes tbody tr').length === 2")
    page.wait("document.querySelector('#log').innerText.includes('Agent registered successfully')")
    page.wait("document.querySelector('#events').innerText.includes('connecting → connected')")
    answers = "+[...document.querySelectorAll('#api-facts dt')].find(e => e.innerText === 'Answers').nextSibling.innerText"
    before = page.run(answers)
    for _ in range(3):
        request(stack)
    page.wait(f"{answers} >= {before + 3}")
    assert page.console == [], "its policy blocks nothing that is in it"


def test_it_says_why_the_connection_is_down_and_goes_on_when_it_is_back(
    page: Browser, stack: Stack, tmp_path: Path
) -> None:
    assert stack.control is not None
    stack.control.kill()
    page.wait("document.querySelector('#state').innerText === 'reconnecting'")
    page.wait("document.querySelector('#why').innerText.includes('cannot be reached')")
    assert "Next attempt in" in page.text("#why") or "Trying now" in page.text("#why")
    assert page.text("#health") in ("degraded", "unhealthy")
    assert "control plane: failed" in page.text("#checks")
    page.wait("document.querySelector('#log').innerText.includes('control plane connection lost')")
    page.screenshot(tmp_path / "down.png")
    stack.start_control()
    stack.wait_connected(CLUSTER)
    page.wait("document.querySelector('#state').innerText === 'connected'")
    page.wait("document.querySelector('#why').hidden")
    page.wait("document.querySelector('#health').innerText === 'healthy'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1280])
def test_it_fits_and_can_be_read(page: Browser, width: int, dark: bool, tmp_path: Path) -> None:
    page.look(width=width, height=1000, dark=dark)
    assert page.run("document.documentElement.scrollWidth") <= width
    ground, text = page.run(
        "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (luminance(ground) < luminance(text)) is dark
    for selector in (
        "h2",
        "dt",
        "dd",
        "#health",
        "#checks li",
        "#features li",
        ".lines time",
        "input",
        ".key",
    ):
        assert contrast(page, selector) >= 4.5, selector
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_it_can_be_used_by_keyboard(page: Browser) -> None:
    reached = []
    for _ in range(14):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.className"))
    assert reached[0] == "skip"
    controls = [each for each in dict.fromkeys(reached) if each.startswith("log-")]
    assert controls == ["log-level", "log-filter", "log-pause", "log-box"]
    page.run("document.querySelector('#log-pause').focus()")
    page.press(" ")
    assert page.text("#log-pause") == "Go on"
    assert page.run("document.querySelector('#log-pause').getAttribute('aria-pressed')") == "true"
    page.press(" ")


def test_the_log_is_filtered_as_one_types(page: Browser) -> None:
    page.wait("document.querySelectorAll('#log li').length > 3")
    page.run(
        "(() => { const f = document.querySelector('#log-filter'); f.value = 'HTTP SERVER'; f.dispatchEvent(new Event('input')); })()"
    )
    shown = page.run(
        "[...document.querySelectorAll('#log li')].filter(e => !e.hidden).map(e => e.innerText)"
    )
    assert len(shown) == 1
    assert "HTTP server started" in shown[0]
    assert "1 of" in page.text("#log-note")


def test_texts_from_the_world_are_shown_and_never_become_markup(page: Browser) -> None:
    assert page.text("#cluster") == NAME
    page.wait(f"document.querySelector('#log').innerText.includes({json.dumps(NAME)})")
    assert page.run("document.querySelectorAll('img, iframe, b > i').length") == 0


def luminance(colour: str) -> float:
    """Relative luminance of an rgb() colour (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Browser, selector: str) -> float:
    """Contrast of an element's text with what is behind it."""
    text, ground = page.run(f"""(() => {{
        let e = document.querySelector({selector!r});
        const text = getComputedStyle(e).color;
        for (; e; e = e.parentElement) {{
            const ground = getComputedStyle(e).backgroundColor;
            if (!/rgba?\\(0, 0, 0, 0\\)/.test(ground)) return [text, ground];
        }}
        return [text, 'rgb(255, 255, 255)'];
    }})()""")
    one, other = sorted((luminance(text), luminance(ground)))
    return (other + 0.05) / (one + 0.05)
