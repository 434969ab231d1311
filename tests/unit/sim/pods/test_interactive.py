"""`sh` with its input line by line, and on a terminal."""

import asyncio

from pipeops.sim.pods.files import Files, Quota
from pipeops.sim.pods.process import Process
from pipeops.sim.pods.programs.table import run
from pipeops.sim.pods.terminal import Terminal
from pipeops.sim.streaming.pipes import Pipe


async def test_input_is_a_script_that_shares_its_input(sh) -> None:
    code, printed, _ = await sh.run(
        ["sh"], b"echo a\nread x\nline\necho $x\nfor i in 1\ndo echo $i\ndone\nexit 4\n"
    )
    assert (code, printed) == (4, b"a\nline\n1\n")


async def test_a_script_file_gets_arguments(sh) -> None:
    assert (await sh("echo 'echo $0 $1' >/tmp/s; sh /tmp/s x"))[1] == b"/tmp/s x\n"
    assert (await sh("chmod +x /tmp/s; /tmp/s y"))[1] == b"/tmp/s y\n"


async def test_shells_in_shells_are_bounded(sh) -> None:
    code, _, errors = await sh("echo '/tmp/s' >/tmp/s; chmod +x /tmp/s; /tmp/s")
    assert code == 2
    assert b"nested too deeply" in errors


class Screen:
    """What a terminal shows, and keys to press."""

    def __init__(self) -> None:
        self.keys = Pipe()
        self.shown = Pipe(1 << 20)
        self.terminal = Terminal(self.shown)

    async def until(self, text: bytes) -> bytes:
        seen = b""
        while text not in seen:
            data = await self.shown.read(1)
            assert data, f"no {text!r} in {seen!r}"
            seen += data
        return seen

    async def type(self, text: bytes) -> None:
        await self.keys.put(text)


async def session(steps) -> int:
    screen = Screen()
    terminal = screen.terminal
    process = Process(
        argv=["sh"],
        stdin=terminal.input,
        stdout=terminal.output,
        stderr=terminal.output,
        environment={},
        directory="/",
        files=Files(lambda: 0.0, Quota(1 << 20)),
        hostname="pod-1",
        run=run,
        terminal=terminal,
    )
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        keyboard = group.create_task(terminal.run(screen.keys))
        shell = group.create_task(run(process))
        await steps(screen)
        code = await shell
        keyboard.cancel()
    return code


async def test_prompts_echoes_and_exits() -> None:
    async def steps(screen: Screen) -> None:
        await screen.until(b"$ ")
        await screen.type(b"echo $((1+1))x\r")
        assert await screen.until(b"2x\r\n$ ") == b"echo $((1+1))x\r\n2x\r\n$ "
        await screen.type(b"exit 3\r")

    assert await session(steps) == 3


async def test_ctrl_c_ends_the_command_not_the_shell() -> None:
    async def steps(screen: Screen) -> None:
        await screen.type(b"echo go; sleep 600\r")
        await screen.until(b"go\r\n")
        await screen.type(b"\x03")
        await screen.until(b"^C\r\n$ ")
        await screen.type(b"echo $?\r")
        await screen.until(b"\r\n130\r\n$ ")
        await screen.type(b"typed\x03")
        await screen.until(b"typed^C\r\n$ ")
        await screen.type(b"\x04")

    assert await session(steps) == 130


async def test_a_resize_runs_its_trap() -> None:
    async def steps(screen: Screen) -> None:
        await screen.type(b"trap 'echo resi''zed' WINCH; echo ar''med\r")
        await screen.until(b"armed\r\n$ ")
        screen.terminal.resize(10, 20)
        await screen.type(b"stty size\r")
        await screen.until(b"10 20\r\n")
        await screen.until(b"resized\r\n")
        await screen.type(b"exit\r")

    assert await session(steps) == 0


async def test_an_unfinished_command_gets_the_second_prompt() -> None:
    async def steps(screen: Screen) -> None:
        await screen.type(b"if true\r")
        await screen.until(b"> ")
        await screen.type(b"then echo y''es; fi\rexit\r")
        await screen.until(b"\nyes\r\n")

    assert await session(steps) == 0
