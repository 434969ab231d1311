import asyncio
import json
import time

import pytest

from pipeops.kube import exec_plugin
from pipeops.kube.errors import CredentialError
from pipeops.kube.exec_plugin import ExecPlugin, ExecSpec
from tests.support.clock import FakeClock
from tests.support.turns import turns

V1 = "client.authentication.k8s.io/v1"
PATH = {"PATH": "/usr/bin:/bin", "INHERITED": "yes"}


def credential(version: str = V1, kind: str = "ExecCredential", **status) -> str:
    return json.dumps({"kind": kind, "apiVersion": version, "status": status})


def plugin(tmp_path, script: str, clock=None, **spec) -> ExecPlugin:
    path = tmp_path / "plugin"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return ExecPlugin(
        ExecSpec(api_version=V1, command=str(path), **spec), clock or FakeClock(), PATH
    )


async def test_token_with_expiry(tmp_path):
    clock = FakeClock()
    answer = credential(token="tok", expirationTimestamp="2026-01-01T00:10:00Z")
    source = plugin(tmp_path, f"echo '{answer}'", clock)
    assert source.needs_refresh(clock.monotonic())
    await source.refresh()
    assert source.authorization() == b"Bearer tok"
    assert source.generation == 1
    clock.advance(560)
    assert not source.needs_refresh(clock.monotonic())
    clock.advance(15)
    assert source.needs_refresh(clock.monotonic())
    await source.refresh()
    assert source.generation == 1


async def test_a_token_already_expired_does_not_spin(tmp_path):
    clock = FakeClock()
    answer = credential(token="tok", expirationTimestamp="2020-01-01T00:00:00Z")
    source = plugin(tmp_path, f"echo '{answer}'", clock)
    await source.refresh()
    assert not source.needs_refresh(clock.monotonic() + 4)
    assert source.needs_refresh(clock.monotonic() + 5)


async def test_refusals_are_rate_limited(tmp_path):
    clock = FakeClock()
    source = plugin(tmp_path, f"echo '{credential(token='tok')}'", clock)
    await source.refresh()
    clock.advance(10_000)
    assert not source.needs_refresh(clock.monotonic())
    source.invalidate()
    assert source.needs_refresh(clock.monotonic())
    await source.refresh()
    source.invalidate()
    assert not source.needs_refresh(clock.monotonic())


async def test_certificate(tmp_path):
    answer = credential(clientCertificateData="CERT", clientKeyData="KEY")
    source = plugin(tmp_path, f"echo '{answer}'")
    await source.refresh()
    certificate = source.certificate()
    assert certificate is not None
    assert certificate.chain == b"CERT"
    assert source.authorization() is None


async def test_the_command_gets_args_environment_and_cluster(tmp_path):
    out = tmp_path / "seen"
    source = plugin(
        tmp_path,
        f"echo \"$1|$EXTRA|$INHERITED|$KUBERNETES_EXEC_INFO\" > {out}; echo '{credential(token='t')}'",
        args=("get token",),
        env=(("EXTRA", "e"),),
        cluster={"server": "https://s"},
    )
    await source.refresh()
    arg, extra, inherited, info = out.read_text().strip().split("|")
    assert (arg, extra, inherited) == ("get token", "e", "yes")
    assert json.loads(info) == {
        "kind": "ExecCredential",
        "apiVersion": V1,
        "spec": {"interactive": False, "cluster": {"server": "https://s"}},
    }


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'login first: Bearer canarycanary' >&2; exit 3", ["code 3", "login first"]),
        ("exit 1", ["code 1", "printed nothing"]),
        ("echo hello canary", ["no ExecCredential"]),
        (f"echo '{credential(kind='Other', token='canary')}'", ["no ExecCredential"]),
        (f"echo '{credential()}'", ["neither a token"]),
        (f"echo '{credential('client.authentication.k8s.io/v2', token='t')}'", ["v2", V1]),
        ("head -c 1200000 /dev/zero", ["printed more than"]),
    ],
)
async def test_failures_name_the_command(tmp_path, script, words):
    source = plugin(tmp_path, script)
    with pytest.raises(CredentialError) as caught:
        await source.refresh()
    text = str(caught.value)
    assert str(tmp_path / "plugin") in text
    assert all(word in text for word in words)
    assert "canary" not in text


async def test_a_missing_command_shows_the_hint():
    spec = ExecSpec(api_version=V1, command="no-such-cmd", install_hint="install it from X")
    with pytest.raises(CredentialError, match=r"no-such-cmd is not installed.*install it from X"):
        await ExecPlugin(spec, FakeClock(), PATH).refresh()


async def test_a_hanging_command_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(exec_plugin, "_TIMEOUT", 0.2)
    source = plugin(tmp_path, "sleep 60 & sleep 60")
    before = time.monotonic()
    with pytest.raises(CredentialError, match="did not finish"):
        await source.refresh()
    assert time.monotonic() - before < 10


async def test_concurrent_refreshes_run_the_command_once(tmp_path):
    log = tmp_path / "log"
    source = plugin(tmp_path, f"echo x >> {log}; echo '{credential(token='t')}'")
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(source.refresh())
    assert log.read_text() == "x\n"
    assert source.authorization() == b"Bearer t"


async def test_who_waits_for_a_run_that_fails_is_told_too(tmp_path):
    """Else its request would go out without a credential."""
    source = plugin(tmp_path, "sleep 0.1; exit 3")
    results = await asyncio.gather(source.refresh(), source.refresh(), return_exceptions=True)
    assert [type(result) for result in results] == [CredentialError] * 2
    assert "code 3" in str(results[1])


async def test_who_waits_for_a_run_that_is_cancelled_runs_the_command_itself(tmp_path):
    source = plugin(tmp_path, f"sleep 0.1; echo '{credential(token='tok')}'")
    first = asyncio.get_running_loop().create_task(source.refresh())
    await turns(5)
    second = asyncio.get_running_loop().create_task(source.refresh())
    await turns(5)
    first.cancel()
    await second
    assert source.authorization() == b"Bearer tok"
