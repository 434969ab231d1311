"""The toy shell's builtins."""

import pytest


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("cd /tmp; pwd; cd -; pwd; cd; pwd", "/tmp\n/\n/root\n"), ("export X=1; env | grep X", "X=1\n"),
        ("X=1; unset X; echo [$X]", "[]\n"), ("set -- a b; shift; echo $1 $#", "b 1\n"),
        ("echo 'a b c' | { read x y; echo $y-$x; }", "b c-a\n"), ("eval 'x=1; echo $x'", "1\n"),
        ("trap 'echo bye' EXIT; echo hi", "hi\nbye\n"), ("exec echo x; echo never", "x\n"),
        ("echo 'x=7' >/tmp/s; . /tmp/s; echo $x", "7\n"), ("command -v cd; type cd", "cd\ncd is cd\n"),
        (": anything", ""), ("X=1; set | grep ^X", "X='1'\n"),
    ],
)  # fmt: skip
async def test_builtins_change_the_shell(out, script: str, printed: str) -> None:
    assert await out(script) == printed


@pytest.mark.parametrize(("script", "code"), [("exit 300", 44), ("false; exit", 1), ("exit x", 2)])
async def test_exit_codes(sh, script: str, code: int) -> None:
    assert (await sh(script))[0] == code


@pytest.mark.parametrize(
    "script", ["cd /nowhere", "export 1a=2", "shift 9", "trap x NOPE", ". /no"]
)
async def test_mistakes_fail_with_a_message(sh, script: str) -> None:
    code, _, errors = await sh(script)
    assert code != 0
    assert errors.startswith(b"sh: ")


async def test_read_takes_one_line_and_leaves_the_rest(sh) -> None:
    assert (await sh("read x; cat", b"one\ntwo\n"))[1] == b"two\n"
