"""Options and numbers of programs."""

import pytest

from pipeops.sim.pods.programs.options import UsageError, number


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), ("2k", 2048), ("+3", 3), ("-1", -1), ("1M", 1 << 20)]
)
def test_numbers_have_suffixes(text: str, value: int) -> None:
    assert number(text, "number") == value


@pytest.mark.parametrize("text", ["", "x", "1.5", "9" * 40])
def test_what_is_no_number_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="invalid number"):
        number(text, "number")


async def test_an_unknown_option_is_named(sh) -> None:
    assert await sh("ls --nope") == (1, b"", b"ls: option --nope not recognized\n")
    assert (await sh("wc -Z"))[2].startswith(b"wc: invalid option -- Z")
