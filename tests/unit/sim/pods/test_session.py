"""Sessions: programs on a client's streams."""

import asyncio

import pytest

from pipeops.sim.pods import session
from pipeops.sim.pods.files import Quota
from pipeops.sim.pods.instances import PodInstance
from pipeops.sim.streaming.pipes import Pipe
from pipeops.sim.streaming.remotecommand import Streams

POD = {"metadata": {"name": "p1", "namespace": "ns", "uid": "12-34"}, "spec": {}}
CONTAINER = {"name": "main", "env": [{"name": "A", "value": "1"}], "workingDir": "/tmp"}


class Running:
    def __init__(self, argv: list[str], *, tty: bool = False) -> None:
        self.pod = PodInstance(POD, lambda: 0.0, Quota(1 << 20))
        self.stdin, self.stdout, self.stderr, self.resize = (Pipe(1 << 20) for _ in range(4))
        streams = Streams(self.stdin, self.stdout, self.stderr, Pipe(), self.resize, as_status=True)
        self.session = session.Session(self.pod, CONTAINER, argv, streams, tty=tty)

    async def code(self) -> int:
        async with asyncio.timeout(10):
            return await self.session.run()


async def test_a_program_sees_its_container() -> None:
    running = Running(["sh", "-c", "echo $A $HOSTNAME; pwd; echo e >&2; exit 3"])
    assert await running.code() == 3
    assert await running.stdout.read() == b"1 p1\n/tmp\n"
    assert await running.stderr.read() == b"e\n"


async def test_ctrl_c_ends_a_program_on_a_terminal() -> None:
    running = Running(["sleep", "600"], tty=True)
    await running.stdin.put(b"\x03")
    assert await running.code() == 130


async def test_the_terminal_follows_the_clients_size() -> None:
    running = Running(
        ["sh", "-c", "until stty size | grep -q '^9 8'; do sleep .01; done"], tty=True
    )
    await running.resize.put(b'{"Width":8,"Height":9}{"Width":')
    assert await running.code() == 0


async def test_the_end_of_the_pod_kills() -> None:
    running = Running(["sleep", "600"])
    running.pod.over.set()
    assert await running.code() == 137


async def test_a_client_that_leaves_ends_the_program() -> None:
    running = Running(["sh", "-c", "yes | cat >/dev/null"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await running.session.run()
    assert len(asyncio.all_tasks()) == 1


async def test_what_cannot_start_says_why() -> None:
    running = Running(["nope"])
    with pytest.raises(FileNotFoundError) as caught:
        await running.code()
    status = session.not_started(running.pod, ["nope"], caught.value)
    assert status["message"].startswith(
        "Internal error occurred: error executing command in container"
    )
    assert 'exec: "nope": executable file not found in $PATH' in status["message"]
    assert (
        "permission denied"
        in session.not_started(running.pod, ["/x"], PermissionError())["message"]
    )


def test_exit_codes_become_statuses() -> None:
    assert session.exited(["x"], 0)["status"] == "Success"
    failure = session.exited(["x"], 7)
    assert failure["reason"] == "NonZeroExitCode"
    assert failure["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
