"""A program that changes DNS."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pipeops.control.certificates.acme_errors import AcmeError
from pipeops.control.certificates.dns_hook import DnsHook


@pytest.fixture
def hook(tmp_path):
    """Make a hook from lines of shell; what it writes to $LOG is kept."""

    def make(*lines, **more):
        program = tmp_path / "hook"
        program.write_text("\n".join(("#!/bin/sh", f"LOG={tmp_path}/log", *lines)) + "\n")
        program.chmod(0o755)
        return DnsHook(program, {"PATH": os.defpath, **more.pop("environment", {})}, **more)

    return make


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


async def test_the_record_is_there_for_the_length_of_the_block(hook, log):
    async with hook('echo "$@" >> $LOG').showing("_acme-challenge.example.com", "value"):
        assert log.read_text() == "add _acme-challenge.example.com value\n"
    assert log.read_text().splitlines()[1:] == ["remove _acme-challenge.example.com value"]


async def test_our_own_variables_stay_with_us(hook, log):
    environment = {"PIPEOPS_CONTROL_DATABASE_URL": "postgresql://u:secret@h/d", "DNS_TOKEN": "its"}
    async with hook("env >> $LOG", environment=environment).showing("n", "v"):
        pass
    assert "secret" not in log.read_text()
    assert "DNS_TOKEN=its" in log.read_text()


async def test_a_failure_says_what_the_program_said(hook, log):
    failing = hook('echo "$1" >> $LOG', 'printf "no such zone\\n\\033[31m" >&2', "exit 3")
    with (
        capture_logs() as records,
        pytest.raises(AcmeError, match="code 3: no such zone") as caught,
    ):
        async with failing.showing("n", "v"):
            pytest.fail("there is no record")
    assert "\033" not in str(caught.value)
    assert log.read_text().split() == ["add", "remove"]  # it may have been half done
    assert [one["event"] for one in records] == ["DNS record may be left over"]


async def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(AcmeError, match="cannot be run: No such file"):
        async with DnsHook(tmp_path / "none", {}).showing("n", "v"):
            pytest.fail("there is no record")


async def test_a_slow_program_is_ended_with_all_that_it_started(hook, log):
    slow = hook("sleep 600 &", 'echo "$!" >> $LOG', "wait", timeout=0.3, remove_timeout=0.3)
    with pytest.raises(AcmeError, match=r"did not finish within 0\.3 s"):
        async with slow.showing("n", "v"):
            pytest.fail("there is no record")
    for pid in log.read_text().split():
        await gone(int(pid))


async def test_cancelling_ends_the_program_and_removes_the_record(hook, log):
    waiting = hook('echo "$1 $$" >> $LOG', 'test "$1" = add && sleep 600', "exit 0")

    async def show():
        async with waiting.showing("n", "v"):
            pytest.fail("there is no record")

    task = asyncio.create_task(show())
    async with asyncio.timeout(20):
        while not log.exists() or not log.read_text():
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == ["add", "remove"]
    await gone(int(lines[0][1]))


async def test_output_is_bounded(hook):
    talkative = hook("yes | head -c 1000000", "exit 1")
    with pytest.raises(AcmeError) as caught:
        async with talkative.showing("n", "v"):
            pytest.fail("there is no record")
    assert len(str(caught.value)) < 600


async def gone(pid):
    async with asyncio.timeout(20):
        while True:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return
            await asyncio.sleep(0)
