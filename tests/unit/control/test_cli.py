"""The command line of pipeops-control, as settings."""

import pytest
from click.testing import CliRunner

from pipeops.control import cli


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command line; return what it was understood as, or what it complained about."""
    seen = []
    monkeypatch.setattr(cli, "_run", lambda settings: seen.append(settings) or 0)
    monkeypatch.setattr(cli.logs, "configure", lambda *_, **__: None)

    def run(*arguments, **environment):
        done = CliRunner().invoke(cli.command, ["--data-dir", str(tmp_path), *arguments], env=environment)  # fmt: skip
        return seen.pop() if done.exit_code == 0 else done.output

    return run


def test_hosts_need_a_proof_by_default_and_the_systems_name_servers_are_asked(run):
    settings = run()
    assert (settings.route_hosts, settings.name_servers) == ("verified", ())
    assert run("--route-hosts", "first-come").route_hosts == "first-come"
    assert run(PIPEOPS_CONTROL_ROUTE_HOSTS="allow-list").route_hosts == "allow-list"
    assert "first-come" in run("--route-hosts", "anything")


@pytest.mark.parametrize(
    ("written", "server"),
    [
        ("10.0.0.53", ("10.0.0.53", 53)),
        ("10.0.0.53:5353", ("10.0.0.53", 5353)),
        ("fd00::53", ("fd00::53", 53)),
        ("[fd00::53]", ("fd00::53", 53)),
        ("[fd00::53]:5353", ("fd00::53", 5353)),
    ],
)
def test_a_name_server_is_an_address_perhaps_with_a_port(run, written, server):
    assert run("--name-server", written).name_servers == (server,)
    assert run("--name-server", written, "--name-server", "127.0.0.1").name_servers == (server, ("127.0.0.1", 53))  # fmt: skip


@pytest.mark.parametrize("written", ["", "dns.example.com", "10.0.0.53:", "10.0.0.53:0", "10.0.0.53:70000", "10.0.0.53:x"])  # fmt: skip
def test_what_is_no_name_server(run, written):
    assert "expected ADDRESS" in run("--name-server", written)


@pytest.mark.parametrize(
    ("option", "written", "complaint"),
    [
        ("--listen", "8443", "HOST:PORT"),
        ("--listen", "x:99999", "HOST:PORT"),
        ("--forward-ports", "2-1", "FIRST-LAST"),
        ("--tls-cert", "/nowhere", "belong together"),
    ],
)
def test_other_options_say_what_they_expect(run, option, written, complaint):
    assert complaint in run(option, written)


def test_addresses_and_ports_are_parsed(run):
    settings = run("--listen", ":9443", "--forward-ports", "none")
    assert (settings.listen_host, settings.listen_port) == ("0.0.0.0", 9443)
    assert settings.forward_ports is None
    assert run("--forward-ports", "100-200").forward_ports == (100, 200)
    assert run().database_url.startswith("sqlite")
