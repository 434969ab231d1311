"""A terminal's line discipline."""

from pipeops.sim.pods.terminal import Terminal
from pipeops.sim.streaming.pipes import Pipe


async def typed(keys: bytes) -> tuple[Terminal, bytes]:
    keyboard, screen = Pipe(1 << 20), Pipe(1 << 20)
    terminal = Terminal(screen)
    await keyboard.put(keys)
    keyboard.finish()
    await terminal.run(keyboard)
    screen.finish()
    return terminal, await screen.read(1 << 20)


async def test_lines_are_edited_before_they_are_read() -> None:
    terminal, echo = await typed(b"abx\x7fc\rdel\x15new old\x17er\r")
    assert await terminal.input.read() == b"abc\n"
    assert await terminal.input.read() == b"new er\n"
    assert echo.startswith(b"abx\b \bc\r\n")


async def test_backspace_takes_whole_characters_and_stops_at_the_prompt() -> None:
    terminal, echo = await typed("é\x7f\x7f\r".encode())
    assert await terminal.input.read() == b"\n"
    assert echo == "é\b \b\r\n".encode()


async def test_ctrl_d_ends_an_empty_line_only() -> None:
    terminal, _ = await typed(b"ab\x04c\r\x04")
    assert [await terminal.input.read() for _ in range(3)] == [b"ab", b"c\n", b""]


async def test_ctrl_c_interrupts_and_drops_what_was_typed_ahead() -> None:
    heard: list[str] = []
    keyboard, screen = Pipe(), Pipe()
    terminal = Terminal(screen)
    terminal.on_interrupt = lambda: heard.append("interrupt")
    await keyboard.put(b"one\rtwo\x03three\r")
    keyboard.finish()
    await terminal.run(keyboard)
    assert heard == ["interrupt"]
    assert await terminal.input.read() == b"three\n"


async def test_input_nobody_reads_is_bounded() -> None:
    terminal, echo = await typed((b"x" * 4000 + b"\r") * 40)
    assert b"\a" in echo
    assert sum(len(line) for line in terminal.input._lines) < 80_000


async def test_output_returns_the_carriage() -> None:
    screen = Pipe()
    await Terminal(screen).output.write(b"a\nb\n")
    assert await screen.read() == b"a\r\nb\r\n"


async def test_only_a_changed_size_is_told() -> None:
    heard: list[str] = []
    terminal = Terminal(Pipe())
    terminal.on_resize = lambda: heard.append("resize")
    terminal.resize(24, 80)
    terminal.resize(24, 80)
    assert heard == ["resize"]
