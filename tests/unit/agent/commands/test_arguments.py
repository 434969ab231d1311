import pytest

from pipeops.agent.commands.arguments import parse, settings_parser
from pipeops.agent.settings import AgentSettings
from pipeops.runtime.settings import keys_of


def test_every_flag_of_the_go_agent_is_known():
    flags = {key.flag for key in keys_of(AgentSettings).values()}
    for name in [
        "log-level",
        "pipeops-url",
        "token",
        "cluster-name",
        "agent-id",
        "kubeconfig",
        "in-cluster",
        "gateway-enabled",
        "gateway-namespace",
        "gateway-release-name",
        "gateway-env-mode",
        "gateway-env-vm-ip",
        "gateway-gwapi-enabled",
        "gateway-gwapi-gateway-class",
        "gateway-istio-enabled",
        "gateway-istio-service-create",
        "gateway-istio-service-namespace",
        "gateway-gwapi-listeners-json",
        "gateway-gwapi-tcp-routes-json",
        "gateway-gwapi-udp-routes-json",
        "gateway-istio-servers-json",
        "gateway-istio-tcp-routes-json",
        "gateway-istio-tls-routes-json",
    ]:
        assert f"--{name}" in flags


def test_a_commands_own_arguments_are_kept_apart():
    parser = settings_parser("x", "…")
    parser.add_argument("-o", "--output", default="text")
    flags, config, own = parse(
        parser, ["--port=1", "--in-cluster", "--config", "f", "-o", "json"], "output"
    )
    assert flags == {"port": "1", "in_cluster": "true"}
    assert (config, own) == ("f", {"output": "json"})


def test_errors_are_two_lines(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(settings_parser("x", "…"), ["--nope"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "See pipeops-agent x --help."
