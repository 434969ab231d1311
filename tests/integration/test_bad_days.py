"""Starts that cannot work: one message that says what, why and what to do, the right exit code, no traceback."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.programs_of_ours import run_agent, run_control

pytestmark = [pytest.mark.slow]

NOWHERE = "https://127.0.0.1:1"


def kubeconfig(directory: Path, text: str | None = None) -> Path:
    path = directory / "kubeconfig"
    path.write_text(
        text
        or "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        'clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]\n'
        "users: [{name: u, user: {token: canary-token}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    return path


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    assert "canary-token" not in said
    last = said.strip().splitlines()[-1]
    for word in words:
        assert word in last, said


AGENT = {
    "kubeconfig missing": (["--kubeconfig", "nowhere.yaml"], None, 1, ["nowhere.yaml", "No such file"]),
    "unknown context": (["--context", "nope"], None, 1, ["no context 'nope'", "choose one of c"]),
    "malformed kubeconfig": ([], "{foo: [\n", 1, ["kubeconfig", "line 2"]),
    "CA file missing": (["--ca-file", "/nope.pem"], None, 1, ["CA file /nope.pem", "No such file"]),
    "token file missing": (["--token-file", "/nope"], None, 2, ["token file /nope", "No such file"]),
    "cleartext beyond this machine": (["--pipeops-url", "http://192.0.2.1"], None, 2, ["cleartext", "https://"]),
    "not a URL": (["--pipeops-url", "ftp://x"], None, 2, ["pipeops.api_url"]),
}  # fmt: skip


@pytest.mark.parametrize("name", AGENT)
def test_an_agent_that_cannot_start_says_why(tmp_path: Path, name: str) -> None:
    arguments, text, code, words = AGENT[name]
    refused(run_agent(tmp_path, NOWHERE, kubeconfig(tmp_path, text), *arguments), code, *words)


def listen(*arguments: str | Path) -> list[str | Path]:
    return [*arguments, "--listen", "127.0.0.1:0"]


def test_a_busy_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        done = run_control(tmp_path, "--data-dir", tmp_path / "d", "--listen", address)
    refused(done, 1, address, "is in use by another program", "--listen")


def test_the_agents_local_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as busy:
        port = busy.getsockname()[1]
        done = run_agent(tmp_path, NOWHERE, kubeconfig(tmp_path), "--port", str(port))
    refused(done, 1, f"port {port}", "in use", "PIPEOPS_PORT")


def test_a_state_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """Root may write anywhere, so it gives that up for this."""
    tmp_path.chmod(0o555)
    mortal = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    done = run_control(
        tmp_path,
        *listen("--data-dir", tmp_path / "state"),
        wrapper=mortal if os.geteuid() == 0 else [],
    )
    refused(done, 1, str(tmp_path / "state"), "Permission denied", "--data-dir")


def test_a_state_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_control(tmp_path, *listen("--data-dir", tmp_path / "file" / "x"))
    refused(done, 1, str(tmp_path / "file" / "x"), "Not a directory", "--data-dir")


def test_a_corrupt_database_is_left_alone_and_named(tmp_path: Path) -> None:
    database = tmp_path / "d" / "pipeops.db"
    database.parent.mkdir()
    rubbish = os.urandom(8192)
    database.write_bytes(rubbish)
    done = run_control(tmp_path, *listen("--data-dir", tmp_path / "d"))
    refused(done, 1, str(database), "restore it from a backup")
    assert database.read_bytes() == rubbish


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    pair = ("--tls-cert", "/nope.crt", "--tls-key", "/nope.key")
    done = run_control(tmp_path, *listen("--data-dir", tmp_path / "d", *pair))
    refused(done, 1, "/nope.crt", "No such file")
