"""An agent that may leave its network only through a proxy: a real squid, which asks for a password."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fakeapi import FakeApi
from tests.support.faults import log_records
from tests.support.middleboxes import Squid
from tests.support.processes import Child, free_port, wait_until
from tests.support.stack import Stack, environment

pytestmark = [pytest.mark.slow]

CLUSTER = "proxied"
# Only the proxy knows this name, so an agent that asks for it elsewhere cannot connect.
HOST = "control.test"
# This machine, but not a loopback address: those are never proxied, whatever NO_PROXY says.
ANY = "0.0.0.0"
PASSWORD = "canary-proxy-password"


@dataclass
class Site:
    """A control plane outside, a proxy at the border, an API server inside."""

    stack: Stack
    api: FakeApi
    squid: Squid
    token: Path
    kubeconfig: Path

    def agent(self, host: str, *, wait: bool = True, **env: str) -> Child:
        """An agent that dials the control plane under this name."""
        url = f"https://{host}:{self.stack.port}"
        return self.stack.start_agent(
            CLUSTER, self.token, self.kubeconfig, url=url, env=env, wait=wait
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    squid = Squid(HOST, user="ada", password=PASSWORD)
    with squid, FakeApi() as api, Stack(directory, hosts=(HOST, ANY)) as stack:
        kubeconfig = api.kubeconfig(directory / "fake.kubeconfig")
        kubeconfig.write_text(kubeconfig.read_text().replace("127.0.0.1", ANY))
        yield Site(stack, api, squid, stack.add_cluster(CLUSTER), kubeconfig)


@pytest.fixture(autouse=True)
def _clean(site: Site) -> Iterator[None]:
    site.stack.log(f"agent-{CLUSTER}").unlink(missing_ok=True)
    yield
    if CLUSTER in site.stack.agents:
        site.stack.agents[CLUSTER].stop()
    log = site.stack.log(f"agent-{CLUSTER}")
    text = log.read_text(errors="replace") if log.exists() else ""
    assert "Traceback" not in text
    assert PASSWORD not in text
    assert "wrong-password" not in text


def not_reached(agent: Child, *words: str) -> None:
    """The agent says once and for all what is wrong, and goes on trying."""
    wait_until(lambda: "not reached" in agent.log.read_text(), "the message", timeout=30)
    records = [each for each in log_records(agent.log) if "not reached" in each["msg"]]
    for word in words:
        assert word in records[0]["error"], records[0]
    assert agent.running


def through(site: Site, code: int) -> bool:
    """The proxy was asked for the control plane and answered so."""
    return f"{code} {HOST}:{site.stack.port}" in site.squid.asked_for


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_everything_works_through_a_proxy_with_a_password(site: Site, variable: str) -> None:
    before = len(site.squid.asked_for)
    agent = site.agent(HOST, **{variable: site.squid.url("ada", PASSWORD)})
    status, _ = site.stack.request("GET", f"/k8s/{CLUSTER}/api", token=site.stack.admin_token)
    assert status == 200
    agent.stop()
    # The log's line comes when the tunnel ends.
    wait_until(lambda: len(site.squid.asked_for) > before, "squid's log", timeout=10)
    assert through(site, 200)


def test_the_api_server_is_never_reached_through_the_proxy(site: Site) -> None:
    proxy = site.squid.url("ada", PASSWORD)
    agent = site.agent(HOST, HTTPS_PROXY=proxy, HTTP_PROXY=proxy, ALL_PROXY=proxy, http_proxy=proxy)
    assert site.api.seen("/version")
    agent.stop()
    wait_until(lambda: through(site, 200), "squid's log", timeout=10)
    assert not [line for line in site.squid.asked_for if str(site.api.port) in line]


@pytest.mark.parametrize("exception", [ANY, "example.com, 0.0.0.0/8", "*"])
def test_no_proxy_is_honoured(site: Site, exception: str) -> None:
    before = site.squid.asked_for
    nowhere = f"http://127.0.0.1:{free_port()}"
    site.agent(ANY, HTTPS_PROXY=nowhere, NO_PROXY=exception)
    assert site.squid.asked_for == before


def test_a_host_that_no_proxy_does_not_name_goes_through_the_proxy(site: Site) -> None:
    agent = site.agent(
        ANY, wait=False, HTTPS_PROXY=f"http://127.0.0.1:{free_port()}", NO_PROXY="0.0.0.1,.test"
    )
    not_reached(agent, "the proxy", "Connection refused", "NO_PROXY")


def test_a_wrong_password_is_told_with_the_proxys_name_and_without_the_password(site: Site) -> None:
    agent = site.agent(HOST, wait=False, HTTPS_PROXY=site.squid.url("ada", "wrong-password"))
    not_reached(
        agent, f"the proxy http://127.0.0.1:{site.squid.port}", "407", "password", "HTTPS_PROXY"
    )
    wait_until(lambda: through(site, 407), "squid's log", timeout=10)


def test_a_proxy_that_wants_a_password_and_got_none(site: Site) -> None:
    agent = site.agent(HOST, wait=False, HTTPS_PROXY=site.squid.url())
    not_reached(
        agent,
        f"the proxy http://127.0.0.1:{site.squid.port}",
        "407",
        "asks for a user and password",
    )


def test_a_proxy_that_is_not_there_is_named_not_the_control_plane(site: Site) -> None:
    port = free_port()
    agent = site.agent(HOST, wait=False, HTTPS_PROXY=f"http://ada:{PASSWORD}@127.0.0.1:{port}")
    not_reached(agent, f"the proxy http://127.0.0.1:{port}", "Connection refused", "HTTPS_PROXY")


def test_a_proxy_without_a_way_to_the_control_plane_says_its_own_status(site: Site) -> None:
    proxy = site.squid.url("ada", PASSWORD)
    agent = site.agent("nowhere.test", wait=False, HTTPS_PROXY=proxy)
    not_reached(agent, "the proxy", "status 50")


def test_what_is_no_proxy_at_all_is_said_so(site: Site) -> None:
    agent = site.agent(HOST, wait=False, HTTPS_PROXY=f"http://127.0.0.1:{site.api.port}")
    not_reached(agent, f"the proxy http://127.0.0.1:{site.api.port}")


def test_an_unusable_proxy_setting_ends_the_agent_with_the_variables_name(site: Site) -> None:
    agent = site.agent(HOST, wait=False, HTTPS_PROXY=f"ftp://ada:{PASSWORD}@proxy.test:1")
    wait_until(lambda: not agent.running, "its end", timeout=30)
    assert agent.exit_code == 2
    assert "HTTPS_PROXY" in agent.log.read_text()


def pipeops(site: Site, proxy: str, host: str = HOST) -> subprocess.CompletedProcess[str]:
    """`pipeops clusters list` through a proxy."""
    stack = site.stack
    options = ["--server", f"https://{host}:{stack.port}", "--ca-file", str(stack.ca_file)]
    options += ["--token-file", str(stack.directory / "control" / "admin-token")]
    done = subprocess.run(
        [sys.executable, "-m", "pipeops.cli", *options, "clusters", "list"],
        env=environment(HTTPS_PROXY=proxy, HOME=str(stack.directory)),
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert PASSWORD not in said
    assert len(done.stderr.splitlines()) <= 2
    return done


def test_the_command_line_goes_through_the_proxy_too(site: Site) -> None:
    done = pipeops(site, site.squid.url("ada", PASSWORD))
    assert done.returncode == 0, done.stderr
    assert CLUSTER in done.stdout
    assert through(site, 200)


def test_the_command_line_names_the_proxy_that_refuses_or_is_not_there(site: Site) -> None:
    wrong = pipeops(site, site.squid.url("ada", "wrong-password"))
    nowhere = pipeops(site, f"http://ada:{PASSWORD}@127.0.0.1:{free_port()}")
    for done, word in ((wrong, "407"), (nowhere, "refused")):
        assert done.returncode == 6, done.stderr
        assert "proxy" in done.stderr
        assert "HTTPS_PROXY" in done.stderr
        assert word in done.stderr
    unusable = pipeops(site, f"ftp://ada:{PASSWORD}@proxy.test:1")
    assert unusable.returncode == 2
    assert "HTTPS_PROXY is not the URL of a proxy" in unusable.stderr
