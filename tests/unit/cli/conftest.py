"""A command line whose control plane is a table of canned answers."""

import json

import httpx
import pytest

from pipeops.cli import session
from pipeops.cli.client import ApiClient
from pipeops.cli.main import run


class FakeControlPlane:
    """Answers requests from a table and remembers them."""

    def __init__(self):
        self.answers = {}
        self.requests = []

    def on(self, method, path, body=None, status=200):
        self.answers[method, path] = (status, body)

    def problem(self, method, path, status, error, hint=""):
        self.on(
            method, path, {"error": error, "reason": "R", "hint": hint, "request_id": "id1"}, status
        )

    def __call__(self, request):
        body = json.loads(request.content) if request.content else None
        self.requests.append((request.method, request.url.raw_path.decode(), body))
        found = self.answers.get((request.method, request.url.raw_path.decode()))
        if found is None:
            return httpx.Response(404, json={"error": "not there", "hint": "", "request_id": "x"})
        status, document = found
        if isinstance(document, Exception):
            raise document
        return httpx.Response(status) if document is None else httpx.Response(status, json=document)

    def client(self, profile):
        return httpx.Client(transport=httpx.MockTransport(self), base_url=profile.server)


@pytest.fixture
def control():
    return FakeControlPlane()


@pytest.fixture(autouse=True)
def environment(tmp_path_factory, monkeypatch):
    """Give every test an empty home and no settings of the machine it runs on."""
    for name in (
        "PIPEOPS_HOME", "PIPEOPS_SERVER", "PIPEOPS_USER_TOKEN", "PIPEOPS_USER_TOKEN_FILE",
        "PIPEOPS_CA_FILE", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "KUBECONFIG",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    return home


@pytest.fixture
def pipeops(control, monkeypatch, capsys):
    """Run a command line; return exit code, standard output, standard error."""
    monkeypatch.setattr(
        session, "ApiClient", lambda profile: ApiClient(profile, control.client(profile))
    )
    monkeypatch.setenv("PIPEOPS_SERVER", "https://control.test")
    monkeypatch.setenv("PIPEOPS_USER_TOKEN", "pipeops_u_secret")

    def pipeops(*arguments):
        code = run(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return pipeops


def cluster(name="prod", **more):
    """Return a cluster as the API presents it."""
    connection = {
        "connected": False, "instances": 0, "lanes": 0, "since": None, "agent_version": None,
        "dialect": None, "rtt_ms": None,
    }  # fmt: skip
    return {
        "id": "5a0c", "name": name, "created_at": "2026-01-01T00:00:00Z", "last_seen_at": None,
        "agent_id": None, "facts": {}, "connection": connection | more.pop("connection", {}),
        "tokens": None, **more,
    }  # fmt: skip


@pytest.fixture
def make_cluster():
    return cluster
