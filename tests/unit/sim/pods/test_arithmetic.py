"""Arithmetic of the toy shell."""

import pytest

from pipeops.sim.pods.arithmetic import ExpressionError, evaluate


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 + 4", 7), ("2+3*4", 14), ("(2+3)*4", 20), ("-7/2", -3), ("-7%2", -1), ("1<<4|1", 17),
        ("5>3&&2==2", 1), ("!5", 0), ("~0", -1), ("x*x", 36), ("missing+1", 1), ("", 0),
        ("010", 8), ("9223372036854775807+1", -(1 << 63)),
    ],
)  # fmt: skip
def test_computes_as_a_shell_does(text: str, value: int) -> None:
    assert evaluate(text, {"x": "6"}) == value


@pytest.mark.parametrize("text", ["1/0", "1+", "(1", "1 2", "1 @ 2", "09", "9" * 30, "(" * 200])
def test_refuses_what_is_no_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, {})
