"""The toy shell's grammar."""

import pytest

from pipeops.sim.pods import syntax
from pipeops.sim.pods.lexer import ScriptError


def test_lists_keep_their_connectors() -> None:
    tree = syntax.parse("a && b || c; d\ne")
    assert [connector for connector, _ in tree.items] == [";", "&&", "||", ";", ";"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a=1 b >c", syntax.Simple), ("while a; do b; done", syntax.Loop),
        ("until a\ndo\nb\ndone", syntax.Loop), ("for x in 1 2; do a; done", syntax.For),
        ("if a; then b; elif c; then d; else e; fi", syntax.If), ("{ a; }", syntax.Group),
        ("(a; b)", syntax.Group), ("(a) >b", syntax.Redirected),
    ],
)  # fmt: skip
def test_commands_of_every_kind(text: str, kind: type) -> None:
    ((_, pipeline),) = syntax.parse(text).items
    assert isinstance(pipeline.commands[0], kind)


@pytest.mark.parametrize("text", ["a &&", "a |", "if a; then", "while a; do b", "(a", "{ a;"])
def test_what_may_go_on_is_incomplete(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        syntax.parse(text)
    assert caught.value.incomplete


@pytest.mark.parametrize("text", [")", "fi", "a )", "| a", "for 1 in a; do b; done", "if ; then"])
def test_what_is_wrong_says_so(text: str) -> None:
    with pytest.raises(ScriptError):
        syntax.parse(text)


@pytest.mark.parametrize("text", ["(" * 500, "a|" * 200 + "a", "if " * 500])
def test_nesting_is_bounded(text: str) -> None:
    with pytest.raises(ScriptError):
        syntax.parse(text)
