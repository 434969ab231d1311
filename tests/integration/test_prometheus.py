"""A real Prometheus scrapes a real agent and evaluates the shipped alert rules over what it got."""

import json
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakeapi import FakeApi
from tests.support.processes import Child, free_port, wait_until
from tests.support.stack import Stack

pytestmark = pytest.mark.slow
CLUSTER = "scraped"


class Prometheus:
    """One server with one target."""

    def __init__(self, program: str, directory: Path, target: int, rules: Path) -> None:
        self.port = free_port()
        config = directory / "prometheus.json"  # JSON is YAML
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {
                            "job_name": "pipeops-agent",
                            "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                        }
                    ],
                }
            )
        )
        self.child = Child(
            "prometheus",
            [
                program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log=directory / "prometheus.log",
        )  # fmt: skip

    def api(self, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(self, expression: str) -> float | None:
        found = self.api(f"query?query={urllib.parse.quote(expression)}")
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    def until(self, expression: str, value: float) -> None:
        wait_until(
            lambda: self.value(expression) == value, expression, timeout=30, children=[self.child]
        )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("scraped")
    with FakeApi() as api, Stack(directory) as running:
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        running.start_agent(CLUSTER, running.add_cluster(CLUSTER), kubeconfig)
        yield running


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no Prometheus (Debian's package prometheus has it)")
    started = re.search(
        r'"HTTP server started".*?"port":(\d+)', stack.log(f"agent-{CLUSTER}").read_text()
    )
    assert started is not None
    running = Prometheus(
        program,
        tmp_path_factory.mktemp("prometheus"),
        int(started[1]),
        root / "deploy/monitoring/alerts.yaml",
    )
    yield running
    running.child.stop()


def test_it_scrapes_and_evaluates_the_rules(prometheus: Prometheus, stack: Stack) -> None:
    prometheus.until("up", 1)
    prometheus.until("pipeops_agent_status", 1)
    for _ in range(5):
        stack.request("GET", f"/k8s/{CLUSTER}/api/v1/pods", token=stack.admin_token)
    prometheus.until("pipeops_agent_kube_api_latency_seconds_count > bool 5", 1)
    rules = prometheus.api("rules")["groups"][0]["rules"]
    assert len(rules) >= 9
    wait_until(
        lambda: all(r["health"] == "ok" for r in prometheus.api("rules")["groups"][0]["rules"]),
        "rules evaluated", timeout=20, children=[prometheus.child],
    )  # fmt: skip
    assert not prometheus.api("alerts")["alerts"]
    target = prometheus.api("targets")["activeTargets"][0]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_a_lost_connection_is_pending_as_an_alert(prometheus: Prometheus, stack: Stack) -> None:
    assert stack.control is not None
    stack.control.kill()
    prometheus.until("pipeops_agent_status", 0)
    prometheus.until('ALERTS{alertname="PipeOpsAgentDisconnected",alertstate="pending"}', 1)
    stack.start_control()
    stack.wait_connected(CLUSTER)
    prometheus.until("pipeops_agent_status", 1)
