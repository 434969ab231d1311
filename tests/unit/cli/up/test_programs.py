"""Command lines of the children."""

import sys
from pathlib import Path

from pipeops.cli.up.certificates import CertificateFiles
from pipeops.cli.up.children import child_environment
from pipeops.cli.up.home import Home
from pipeops.cli.up.programs import Programs

HOME = Home(Path("/h"))
PROGRAMS = Programs(HOME, {"PATH": "/bin"})


def command(child):
    return child._command


def test_the_control_plane_listens_on_loopback_with_tls():
    files = CertificateFiles(Path("/ca"), Path("/crt"), Path("/key"))
    words = command(PROGRAMS.control(8443, files))
    assert words[:3] == [sys.executable, "-m", "pipeops.control"]
    assert words[words.index("--listen") + 1] == "127.0.0.1:8443"
    assert words[words.index("--tls-key") + 1] == "/key"


def test_the_agents_token_is_a_file_and_system_identities_are_an_option():
    given = {
        "server": "https://c",
        "cluster": "sim",
        "token_file": Path("/t"),
        "kubeconfig": Path("/k"),
        "ca": Path("/ca"),
    }
    plain = PROGRAMS.agent(**given, allow_system_identities=False)
    assert command(plain)[3:] == [
        "--pipeops-url", "https://c", "--token-file", "/t", "--cluster-name", "sim", "--kubeconfig", "/k", "--ca-file", "/ca",
    ]  # fmt: skip
    assert (
        command(PROGRAMS.agent(**given, allow_system_identities=True))[-1]
        == "--allow-system-identities"
    )
    assert plain._environ["PIPEOPS_STATE_FILE"].startswith("/h/agent/")


def test_the_simulated_cluster_writes_both_kubeconfigs():
    words = command(PROGRAMS.sim(1))
    assert words[words.index("--agent-kubeconfig") + 1] == str(PROGRAMS.sim_agent_kubeconfig)


def test_settings_for_other_installations_do_not_reach_the_children():
    kept = child_environment(
        {
            "PIPEOPS_USER_TOKEN": "secret",
            "KUBECONFIG": "/x",
            "PATH": "/bin",
            "NO_PROXY": "corp",
            "HTTPS_PROXY": "http://p",
        }
    )
    assert "secret" not in kept.values()
    assert "KUBECONFIG" not in kept
    assert kept["NO_PROXY"].split(",") == ["corp", "127.0.0.1", "localhost", "::1"]
    assert kept["HTTPS_PROXY"] == "http://p"
