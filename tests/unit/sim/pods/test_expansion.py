"""Expansion of words, seen through echo and printf."""

import pytest

from pipeops.sim.pods.expansion import MAX_VALUE, ExpansionError, Variables


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("x='a  b'; echo $x", "a b\n"), ("x='a  b'; echo \"$x\"", "a  b\n"),
        ("echo ${x:-d} ${x-d} ${x:+s}", "d d\n"), ("x=v; echo ${x:+s} ${#x}", "s 1\n"),
        (": ${x:=set}; echo $x", "set\n"), ("x=a.tar.gz; echo ${x%.*} ${x%%.*} ${x#*.} ${x##*.}",
        "a.tar a tar.gz gz\n"), ("echo $((1+2))$(echo x)`echo y`", "3xy\n"),
        ("set -- a 'b c'; printf '<%s>' \"$@\"; printf '<%s>' $#", "<a><b c><2>"),
        ("printf '<%s>' \"\" ''", "<><>"), ("x=; printf '<%s>' $x a", "<a>"), ("echo ~", "/root\n"),
        ("cd /dev; echo n* '*' \"n*\"", "null * n*\n"), ("echo /dev/z*", "/dev/zero\n"),
        ("echo no*", "no*\n"), ("false; echo $?", "1\n"), ("x='*'; echo \"$x\"", "*\n"),
    ],
)  # fmt: skip
async def test_words_become_what_posix_says(out, script: str, printed: str) -> None:
    assert await out(script) == printed


async def test_an_unset_parameter_can_be_an_error(sh) -> None:
    assert await sh("echo ${x:?needed}; echo after") == (0, b"after\n", b"sh: x: needed\n")


async def test_values_are_bounded(sh) -> None:
    code, _, errors = await sh(
        "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; test $? = 0 || exit 9; done"
    )
    assert code == 9
    assert b"too long" in errors


def test_a_long_value_is_refused() -> None:
    with pytest.raises(ExpansionError):
        Variables({}, []).assign("x", "y" * (MAX_VALUE + 1))
