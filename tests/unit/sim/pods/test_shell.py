"""The toy shell's evaluator."""

import pytest


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("echo a | cat | wc -c", "2\n"), ("true && echo a || echo b", "a\n"),
        ("false && echo a || echo b", "b\n"), ("! true; echo $?", "1\n"),
        ("for i in 1 2 3; do echo $i; done | tail -1", "3\n"),
        ("i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i", "3\n"),
        ("i=0; until false; do i=$((i+1)); [ $i = 2 ] && break; done; echo $i", "2\n"),
        ("for i in 1 2; do [ $i = 1 ] && continue; echo $i; done", "2\n"),
        ("if false; then echo a; elif true; then echo b; else echo c; fi", "b\n"),
        ("x=1; (x=2; echo $x); echo $x", "2\n1\n"), ("{ echo a; echo b; } >/tmp/f; cat /tmp/f", "a\nb\n"),
        ("echo a >/tmp/f; echo b >>/tmp/f; cat </tmp/f", "a\nb\n"),
        ("{ echo e >&2; } 2>&1", "e\n"), ("cat nowhere 2>/dev/null; echo $?", "1\n"),
        ("x=5 env | grep x=", "x=5\n"), ("cat <<E\na $((1+1))\nE", "a 2\n"),
        ("yes | head -n 2", "y\ny\n"), ("x=$(false); echo $?", "1\n"),
    ],
)  # fmt: skip
async def test_scripts_print_what_they_should(out, script: str, printed: str) -> None:
    assert await out(script) == printed


async def test_unknown_programs_are_127(sh) -> None:
    assert await sh("nope") == (127, b"", b"sh: nope: not found\n")


async def test_a_syntax_error_is_2(sh) -> None:
    code, _, errors = await sh("echo )")
    assert (code, errors) == (2, b'sh: syntax error: ")" unexpected\n')


async def test_a_redirection_that_fails_skips_its_command(sh) -> None:
    code, printed, errors = await sh("echo a >/no/where || echo skipped")
    assert (code, printed) == (0, b"skipped\n")
    assert errors == b"sh: can't create /no/where: nonexistent directory\n"


async def test_errexit_ends_at_the_first_unchecked_failure(sh) -> None:
    assert (await sh("set -e; false || true; if false; then :; fi; echo a; false; echo b"))[:2] == (
        1,
        b"a\n",
    )


async def test_a_pipeline_ends_although_its_writer_would_not(sh) -> None:
    assert (await sh("yes | true; echo $?"))[:2] == (0, b"0\n")


async def test_substitution_is_bounded_in_depth_and_size(sh) -> None:
    nested = "echo " + "$(echo " * 30 + "x" + ")" * 30
    assert b"nested too deeply" in (await sh(nested))[2]
    assert b"too long" in (await sh("x=$(yes)"))[2]
