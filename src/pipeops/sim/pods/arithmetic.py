"""Integer arithmetic of the toy shell: 64 bits, the operators of C that scripts use."""

import operator
import re
from collections.abc import Callable, Mapping

TOKEN = re.compile(r"\s*(\d+|[A-Za-z_]\w*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%<>()!~&|^])")
LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="),
    ("<<", ">>"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
MAX_DEPTH = 50


class ExpressionError(Exception):
    """The expression is wrong."""


def _truncate(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise ExpressionError("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "||": lambda a, b: int(bool(a or b)),
    "&&": lambda a, b: int(bool(a and b)),
    "|": operator.or_, "^": operator.xor, "&": operator.and_,
    "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "<<": lambda a, b: a << (b % 64), ">>": lambda a, b: a >> (b % 64),
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": _divide, "%": lambda a, b: a - b * _divide(a, b),
}  # fmt: skip


def evaluate(text: str, variables: Mapping[str, str]) -> int:
    """The value of an expression; ExpressionError when it is malformed."""
    tokens: list[str] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"arithmetic expression: expecting EOF: {text!r}")
        tokens.append(match[1])
        at = match.end()
    parser = _Parser(tokens, variables)
    value = parser.level(0) if tokens else 0
    if parser.tokens:
        raise ExpressionError(f"arithmetic expression: expecting EOF: {text!r}")
    return value


class _Parser:
    def __init__(self, tokens: list[str], variables: Mapping[str, str]) -> None:
        self.tokens = tokens
        self._variables = variables
        self._depth = 0

    def level(self, number: int) -> int:
        if number == len(LEVELS):
            return self._unary()
        value = self.level(number + 1)
        while self.tokens and self.tokens[0] in LEVELS[number]:
            operation = OPERATIONS[self.tokens.pop(0)]
            value = _truncate(int(operation(value, self.level(number + 1))))
        return value

    def _unary(self) -> int:
        if not self.tokens:
            raise ExpressionError("arithmetic expression: expecting primary")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError("arithmetic expression: nested too deeply")
        token = self.tokens.pop(0)
        value = self._primary(token)
        self._depth -= 1
        return value

    def _primary(self, token: str) -> int:
        if token.startswith("("):
            value = self.level(0)
            if not self.tokens or self.tokens.pop(0) != ")":
                raise ExpressionError("arithmetic expression: expecting ')'")
            return value
        if token in {"-", "+", "!", "~"}:
            value = self._unary()
            return {"-": -value, "+": value, "!": int(not value), "~": ~value}[token]
        if token[0].isdigit():
            return _number(token)
        if token[0].isalpha() or token[0] == "_":
            return _number(self._variables.get(token, "") or "0")
        raise ExpressionError("arithmetic expression: expecting primary")


def _number(text: str) -> int:
    if len(text) > 20:
        raise ExpressionError(f"Illegal number: {text[:20]}...")
    try:
        return _truncate(int(text, 8 if text.startswith("0") and text.isdigit() else 10))
    except ValueError:
        raise ExpressionError(f"Illegal number: {text}") from None
