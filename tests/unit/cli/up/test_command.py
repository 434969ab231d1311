"""`pipeops up` on the outside: usage, second run, words."""

import asyncio
import os
import signal

import pytest

from pipeops.cli.failures import ExitCode
from pipeops.cli.profile import Profile
from pipeops.cli.up.backend import Backend
from pipeops.cli.up.command import _Stop, describe, next_steps
from pipeops.cli.up.first_request import FirstRequest
from pipeops.cli.up.home import Home
from pipeops.cli.up.identity import Identity
from pipeops.cli.up.running import Running
from pipeops.runtime.secrets import Secret


def test_groups_need_a_user(pipeops):
    code, _, err = pipeops("up", "--as-group", "dev")
    assert code == ExitCode.USAGE
    assert "--as" in err


def test_a_second_run_with_the_same_home_is_refused(pipeops, tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    with home.locked():
        code, out, err = pipeops("up", "--home", str(home.root))
    assert (code, out) == (ExitCode.CONFLICT, "")
    assert str(os.getpid()) in err


@pytest.mark.parametrize(
    ("connection", "state", "detail"),
    [
        ({}, "prod is disconnected", "reconnect"),
        ({"connected": True, "lanes": 1}, "prod is connected", "1 lane"),
        (
            {"connected": True, "lanes": 2, "rtt_ms": 0.42},
            "prod is connected",
            "2 lanes, round trip 0.4 ms",
        ),
    ],
)
def test_the_status_in_words(make_cluster, connection, state, detail):
    told = describe(make_cluster(connection=connection))
    assert told[0] == state
    assert detail in told[1]


@pytest.fixture
def running(tmp_path):
    home = Home(tmp_path / "home of ada")
    home.prepare()
    return Running(
        home=home,
        profile=Profile(
            "https://127.0.0.1:8443", Secret("pipeops_u_secret"), home.tls / "ca.crt", "up"
        ),
        backend=Backend("sim", "you asked for it"),
        identity=Identity("ada", ("dev",)),
        context="pipeops-sim",
        first=FirstRequest("kubectl get nodes", True, "NAME"),
        children=(),
    )


def test_the_summary_holds_no_secret(running):
    summary = running.summary()
    assert "pipeops_u_secret" not in repr(summary)
    assert summary["cluster"] == {
        "name": "sim",
        "simulated": True,
        "context": None,
        "reason": "you asked for it",
    }


def test_next_steps_can_be_pasted(running):
    steps = next_steps(running)
    assert steps[0] == f"export KUBECONFIG='{running.home.kubeconfig}'"
    # This home is not the default one, so the other commands must be told.
    assert steps[1] == f"export PIPEOPS_HOME='{running.home.root}'"


async def test_the_first_signal_cancels_and_a_later_one_ends_the_process():
    codes = []
    stop = _Stop(codes.append, patience=0.0)

    async def work():
        with stop.on_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                os.kill(os.getpid(), signal.SIGTERM)
                while not codes:
                    await asyncio.sleep(0)
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())
    assert stop.requested
    assert codes == [128 + signal.SIGTERM]


async def test_a_signal_that_arrives_twice_is_one_wish():
    codes = []
    stop = _Stop(codes.append, patience=60.0)

    async def work():
        with stop.on_signals():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10):
                    await asyncio.sleep(0)
                raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert codes == []
