"""Small programs."""

import pytest


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("echo -n a; echo -e 'b\\tc'", "ab\tc\n"), ("printf '%s=%03d%%\\n' a 7 b 8", "a=007%\nb=008%\n"),
        ("pwd", "/\n"), ("id", "uid=0(root) gid=0(root) groups=0(root)\n"), ("whoami; id -u", "root\n0\n"),
        ("hostname", "pod-1\n"), ("uname -sn", "Linux pod-1\n"), ("date -u +%Y-%m-%dT%H:%M:%SZ", "2023-11-14T22:13:20Z\n"),
        ("date +%s", "1700000000\n"), ("sleep 0 0.001s", ""), ("seq 3; seq 5 -2 1", "1\n2\n3\n5\n3\n1\n"),
        ("env -i A=1 sh -c 'echo $A'", "1\n"), ("yes no | head -1", "no\n"), ("true; echo $?", "0\n"),
    ],
)  # fmt: skip
async def test_prints_what_it_should(out, script: str, printed: str) -> None:
    assert await out(script) == printed


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("a", True), ("''", False), ("-n a", True), ("-z a", False), ("a = a", True), ("a != a", False),
        ("2 -lt 10", True), ("2 -ge 10", False), ("-d /dev", True), ("-f /dev", False), ("-e /no", False),
        ("! -e /no", True), ("a = a -a b = b", True), ("a = b -o b = b", True), ("-t 0", False),
    ],
)  # fmt: skip
async def test_test_decides(sh, expression: str, holds: bool) -> None:
    assert (await sh(f"[ {expression} ]"))[0] == int(not holds)


@pytest.mark.parametrize(
    ("script", "code"),
    [("false", 1), ("sleep x", 1), ("seq a", 1), ("[ a", 2), ("test 1 -eq x", 2), ("stty size", 1),
     ("tty", 1), ("env no-such", 127), ("date +%Q", 1), ("seq 1 0 2", 1)],
)  # fmt: skip
async def test_mistakes_have_codes(sh, script: str, code: int) -> None:
    assert (await sh(script))[0] == code
