"""The operators' API of a real control plane process over TLS, used by the command line."""

import json
import os
import shlex
import socket
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

import pipeops as package
from pipeops.cli.connection import trust
from pipeops.cli.failures import ExitCode
from pipeops.cli.main import run
from pipeops.cli.up.certificates import ensure_certificates
from tests.support.processes import Child, free_port, wait_until

SETTINGS = (
    "PIPEOPS_HOME",
    "PIPEOPS_SERVER",
    "PIPEOPS_USER_TOKEN",
    "PIPEOPS_USER_TOKEN_FILE",
    "PIPEOPS_CA_FILE",
)


# The tests change their directory, so the children must not find the package by a relative path.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])}


class ControlPlane:
    """A control plane process on loopback with its own CA."""

    def __init__(self, directory):
        self.directory = directory
        self.data = directory / "data"
        self.files = ensure_certificates(directory, datetime.now(UTC))
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.child = None

    def command(self):
        return [
            sys.executable, "-m", "pipeops.control", "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}",
            "--tls-cert", self.files.server, "--tls-key", self.files.server_key, "--log-format", "json",
        ]  # fmt: skip

    def start(self):
        self.child = Child(
            "control", self.command(), log=self.directory / "control.log", env=ENVIRONMENT
        )
        with httpx.Client(verify=trust(self.files.ca), trust_env=False) as client:

            def ready():
                try:
                    return client.get(f"{self.server}/ready").status_code == 200
                except httpx.TransportError:
                    return False

            wait_until(ready, "control plane", timeout=60, children=[self.child])

    def refuse_to_start(self):
        """Start it where it cannot run; return exit code and what it said."""
        done = subprocess.run(
            [str(word) for word in self.command()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=ENVIRONMENT,
        )
        return done.returncode, done.stderr

    @property
    def log(self):
        return (self.directory / "control.log").read_text()


@pytest.fixture(scope="module")
def control(tmp_path_factory):
    plane = ControlPlane(tmp_path_factory.mktemp("control"))
    plane.start()
    yield plane
    plane.child.stop()


@pytest.fixture
def pipeops(control, tmp_path, monkeypatch, capfd):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def pipeops(
        *arguments, server=control.server, token=control.data / "admin-token", ca=control.files.ca
    ):
        options = ["--server", server]
        options += ["--token-file", str(token)] if token else []
        options += ["--ca-file", str(ca)] if ca else []
        code = run([*options, *map(str, arguments)])
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return code, printed.out, printed.err

    return pipeops


def test_the_administrators_token_is_private_and_in_no_log(control):
    token = control.data / "admin-token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text().strip() not in control.log


def test_a_cluster_from_adding_to_removing(pipeops, control, tmp_path):
    assert pipeops("clusters", "add", "life")[0] == 0
    token = (tmp_path / "life.token").read_text().strip()
    assert pipeops("clusters", "add", "life", "--write-token", "x")[0] == ExitCode.CONFLICT
    assert "life" in pipeops("clusters", "list")[1]
    shown = json.loads(pipeops("clusters", "show", "life", "-o", "json")[1])
    assert [item["prefix"] for item in shown["tokens"]] == [token[:14]]
    assert (
        pipeops("clusters", "token", "life", "--revoke-others", "--write-token", "second")[0] == 0
    )
    shown = json.loads(pipeops("clusters", "show", "life", "-o", "json")[1])
    assert [item["revoked_at"] is None for item in shown["tokens"]] == [False, True]
    code, out, _ = pipeops("kubeconfig", "life")
    assert (code, f"{control.server}/k8s/life" in out) == (0, True)
    assert pipeops("clusters", "remove", "life", "--yes")[0] == 0
    code, _, _ = pipeops("clusters", "show", "lif")
    assert code == ExitCode.NOT_FOUND
    assert token not in control.log


def test_user_tokens_limit_and_end(pipeops, tmp_path):
    for name in ("mine", "theirs"):
        pipeops("clusters", "add", name)
    mine = tmp_path / "ada"
    assert (
        pipeops(
            "tokens", "create", "ada", "--user", "ada", "--cluster", "mine", "--write-token", mine
        )[0]
        == 0
    )
    names = [
        item["name"]
        for item in json.loads(pipeops("clusters", "list", "-o", "json", token=mine)[1])
    ]
    assert names == ["mine"]
    assert pipeops("clusters", "show", "theirs", token=mine)[0] == ExitCode.NOT_FOUND
    assert pipeops("clusters", "add", "more", token=mine)[0] == ExitCode.REFUSED
    (item,) = [
        each
        for each in json.loads(pipeops("tokens", "list", "-o", "json")[1])
        if each["label"] == "ada"
    ]
    assert pipeops("tokens", "revoke", item["id"])[0] == 0
    code, _, err = pipeops("clusters", "list", token=mine)
    assert (code, "revoked" in err) == (ExitCode.REFUSED, True)


def test_bad_days_have_one_message_and_their_exit_code(pipeops, control, tmp_path):
    other = ensure_certificates(tmp_path, datetime.now(UTC)).ca
    (tmp_path / "unknown").write_text("pipeops_u_" + "a" * 43)
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    for arguments, code, says in (
        ({"ca": other}, ExitCode.UNREACHABLE, "not trusted"),
        ({"ca": None}, ExitCode.UNREACHABLE, "not trusted"),
        ({"server": control.server.replace("https", "http")}, ExitCode.UNREACHABLE, "https://"),
        (
            {"server": f"https://127.0.0.1:{silent.getsockname()[1]}"},
            ExitCode.UNREACHABLE,
            "nothing listens",
        ),
        ({"token": tmp_path / "unknown"}, ExitCode.REFUSED, "unknown to this control plane"),
        ({"token": None}, ExitCode.REFUSED, "no token"),
        ({"token": tmp_path / "absent"}, ExitCode.USAGE, "cannot be read"),
    ):
        got, out, err = pipeops("clusters", "list", **arguments)
        assert (got, out) == (code, ""), err
        assert says in err
        assert err.count("\n") <= 2
    silent.close()


def test_the_api_document_is_served_behind_the_edge(control):
    with httpx.Client(verify=trust(control.files.ca), trust_env=False) as client:
        answer = client.get(f"{control.server}/api/openapi.json")
        assert answer.json()["info"]["title"] == "PipeOps control plane"
        assert client.get(f"{control.server}/api/v1/whoami").status_code == 401
        large = client.post(f"{control.server}/api/v1/clusters", content=b"x" * 200_000)
        assert large.status_code in (401, 413)
        assert client.get(f"{control.server}/health").status_code == 200


def test_what_was_said_survives_kill_nine(pipeops, control):
    pipeops("clusters", "add", "survivor")
    control.child.kill()
    assert pipeops("clusters", "list")[0] == ExitCode.UNREACHABLE
    control.start()
    assert "survivor" in pipeops("clusters", "list")[1]


@pytest.fixture
def simulated(tmp_path):
    """Run a simulated cluster; return the kubeconfig of its agent."""
    kubeconfig = tmp_path / "agent.kubeconfig"
    command = [sys.executable, "-m", "pipeops.sim", "--agent-kubeconfig", kubeconfig]
    child = Child("sim", command, log=tmp_path / "sim.log", env=ENVIRONMENT)
    wait_until(kubeconfig.exists, "simulated cluster", timeout=60, children=[child])
    yield kubeconfig
    child.stop()


def test_the_printed_command_starts_an_agent_and_revocation_ends_it(pipeops, simulated, tmp_path):
    def connected():
        return json.loads(pipeops("clusters", "show", "remote", "-o", "json")[1])["connection"][
            "connected"
        ]

    name, *options = shlex.split(pipeops("clusters", "add", "remote")[1])
    assert name == "pipeops-agent"
    command = [
        sys.executable,
        "-m",
        "pipeops.agent",
        *options,
        "--kubeconfig",
        simulated,
    ]
    command += ["--state-file", tmp_path / "state.yaml", "--port", "0"]
    agent = Child("agent", command, log=tmp_path / "agent.log", env=ENVIRONMENT)
    try:
        wait_until(connected, "agent", timeout=60, children=[agent])
        assert (
            pipeops("clusters", "token", "remote", "--revoke-others", "--write-token", "new")[0]
            == 0
        )
        wait_until(lambda: not connected(), "end of the session", timeout=20)
    finally:
        agent.stop()
    pipeops("clusters", "remove", "remote", "--yes")


def damaged(plane):
    plane.data.mkdir()
    (plane.data / "pipeops.db").write_bytes(b"no database at all " * 500)
    return "not a PipeOps database"


def newer(plane):
    plane.data.mkdir()
    with sqlite3.connect(plane.data / "pipeops.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    return "newer version"


def no_directory(plane):
    plane.data.write_text("a file where a directory should be")
    return str(plane.data)


def no_certificate(plane):
    plane.files.server.write_text("not PEM")
    return "certificate"


@pytest.mark.parametrize("arrange", [damaged, newer, no_directory, no_certificate])
def test_a_control_plane_that_cannot_start_says_why(tmp_path, arrange):
    plane = ControlPlane(tmp_path)
    says = arrange(plane)
    code, err = plane.refuse_to_start()
    assert code in (ExitCode.FAILED, ExitCode.USAGE), err
    last = err.rstrip().splitlines()[-1]
    assert says in last
    assert "Traceback" not in last


def test_a_busy_port_is_named(control, tmp_path):
    plane = ControlPlane(tmp_path)
    plane.port = control.port
    code, err = plane.refuse_to_start()
    assert code == 1
    assert "in use" in err
    assert str(control.port) in err


def test_environment_of_this_test_is_clean():
    assert not [name for name in SETTINGS if name in os.environ]
