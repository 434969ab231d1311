import json

import pytest
import yaml

from pipeops.agent.commands import config

SECRET = "top-secret-token-value"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PIPEOPS_TOKEN", "PIPEOPS_API_URL", "PIPEOPS_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_show_names_the_source_of_every_value_and_no_secret(tmp_path, monkeypatch, capsys):
    (tmp_path / "c.yaml").write_text("agent: {port: 9090}\npipeops: {reconnect: {interval: 1m}}\n")
    monkeypatch.setenv("PIPEOPS_CLUSTER_NAME", "edge")
    monkeypatch.setenv("PIPEOPS_K8S_SERVICE_TOKEN", SECRET)
    argv = ["--config", "c.yaml", "--token", SECRET]
    for output in ("json", "yaml"):
        assert config.show([*argv, "-o", output]) == 0
        out = capsys.readouterr().out
        assert SECRET not in out
        document = (json.loads if output == "json" else yaml.safe_load)(out)
        settings = document["settings"]
        assert document["file"] == "c.yaml"
        assert settings["agent.port"] == {"value": 9090, "source": "file c.yaml"}
        assert settings["agent.cluster_name"]["source"] == "environment PIPEOPS_CLUSTER_NAME"
        assert settings["pipeops.token"] == {"value": "***", "source": "flag --token"}
        assert settings["kubernetes.service_token"]["value"] == "***"
        assert settings["tunnel.enabled"] == {"value": True, "source": "default"}
        assert settings["pipeops.reconnect.interval"]["without_effect"]


def test_show_as_text_is_what_somebody_set(capsys):
    assert config.show(["--port", "1"]) == 0
    out = capsys.readouterr().out
    assert "agent.port  1   [flag --port]" in out
    assert "tunnel.enabled" not in out
    assert "defaults (--all)" in out
    config.show(["--all"])
    assert "tunnel.enabled" in capsys.readouterr().out


def test_show_refuses_what_would_not_run(capsys):
    assert config.show(["--port", "x"]) == 2
    assert "agent.port (--port)" in capsys.readouterr().err


def test_check_reads_the_file_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PIPEOPS_PORT", "nonsense")
    path = tmp_path / "f.yaml"
    path.write_text("agent: {port: 1, colour: red, cluster_name: c}\npipeops: {api_url: https://x}")
    assert config.check([str(path)]) == 0
    out = capsys.readouterr().out
    assert "unknown setting agent.colour" in out
    assert "3 settings, 1 warnings" in out
    path.write_text("agent: {port: 99999}\nlogging: {format: xml}")
    assert config.check([str(path)]) == 2
    assert "2 setting(s)" in capsys.readouterr().err
    assert config.check(["/no/such"]) == 2
