"""The dashboard and the alert rules ask for metrics that exist, and Prometheus' own tools accept them."""

import asyncio
import json
import re
import shutil
import subprocess
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from pipeops.agent.metrics.families import FAMILIES, Metrics
from tests.unit.agent.local_api.bench import World

# Of Prometheus itself, about every target.
OWN = {"up"}
# Words of the query language, and the labels and variables that are used.
WORDS = {
    "sum", "by", "le", "rate", "increase", "changes", "histogram_quantile", "and", "instance", "code", "type", "endpoint",
    "job", "direction", "in", "out", "__rate_interval",
}  # fmt: skip


def known():
    names = set(OWN)
    for metric, _ in FAMILIES:
        names.add(metric.name)
        if metric.kind == "histogram":
            names |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


def metrics_of(expression):
    without_strings = re.sub(r'"[^"]*"', "", expression)
    without_ranges = re.sub(r"\[[^]]*\]", "", without_strings)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", without_ranges)) - WORDS


@pytest.fixture(scope="module")
def rules(root):
    document = yaml.safe_load((root / "deploy/monitoring/alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def dashboard(root):
    return json.loads((root / "deploy/monitoring/agent-dashboard.json").read_text())


def test_alerts_use_metrics_that_exist(rules):
    for rule in rules:
        assert metrics_of(rule["expr"]) <= known(), rule["alert"]
        assert metrics_of(rule["expr"]), rule["alert"]


def test_alerts_say_what_it_means_and_how_bad_it_is(rules):
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_uses_metrics_that_exist(dashboard):
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [each["expr"] for each in dashboard["annotations"]["list"]]
    for expression in asked:
        assert metrics_of(expression) <= known(), expression
    for variable in dashboard["templating"]["list"][1:]:
        metric = re.match(r"label_values\((\w+)", variable["definition"])
        assert metric is not None
        assert metric[1] in known()


def test_panels_do_not_overlap_and_have_numbers_of_their_own(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.fixture(scope="module")
def promtool():
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    return program


def test_promtool_accepts_the_rules_and_their_tests_pass(promtool, root):
    folder = root / "deploy/monitoring"
    for arguments in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run(
            [promtool, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_metrics(promtool):
    server = SimpleNamespace(requests=Counter({("/health", "GET", 200): 1}), clients=1)

    async def scrape():
        world = World()
        world.connect()
        world.observed.requests.answered(200, world.now - 0.01)
        return Metrics(world.observed, server, {}).text()

    text = asyncio.run(scrape())
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
