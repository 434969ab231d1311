import json

import pytest

from pipeops.agent.commands import diagnose as module
from pipeops.agent.diagnose.report import Check, Part
from pipeops.agent.settings import load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def loaded(**flags):
    return load_settings(flags, environment={}, needs_token=False)


def test_everything_is_checked_even_without_a_cluster(tmp_path):
    (tmp_path / "p.yaml").write_text("version: 1")
    names = [check.name for check in module.all_checks(loaded(policy_file="p.yaml"), {})]
    assert names[:3] == ["settings", "policy", "control plane name"]
    assert names[-1] == "cluster access"


async def test_settings_policy_and_access_are_findings(tmp_path):
    checks = {c.name: c for c in module.all_checks(loaded(policy_file="none.yaml"), {})}
    parts = await checks["settings"].run()
    assert parts[0].result == "ok"
    assert parts[1].result == "warn"
    assert "there is no kubeconfig" in (await checks["cluster access"].run())[0].detail
    with pytest.raises(module.PipeOpsError):
        await checks["policy"].run()


@pytest.mark.parametrize(("result", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_text_and_json_and_the_exit_code(monkeypatch, capsys, result, code):
    async def run():
        return [Part(result, "detail", "advice")]

    monkeypatch.setattr(module, "all_checks", lambda *_: [Check("one", run)])
    assert module.diagnose([]) == code
    assert capsys.readouterr().out.startswith(f"{result:<5} one: detail")
    assert module.diagnose(["-o", "json"]) == code
    assert json.loads(capsys.readouterr().out)["checks"][0]["result"] == result


def test_wrong_settings_are_told_first(capsys):
    assert module.diagnose(["--port", "x"]) == 2
    assert "agent.port" in capsys.readouterr().err
