"""Tokens of the toy shell."""

import pytest

from pipeops.sim.pods.lexer import Lexer, Literal, Parameter, ScriptError, Substitution


def tokens(text: str) -> list[tuple[str, str]]:
    lexer, found = Lexer(text), []
    while (token := lexer.next()).kind != "end":
        found.append((token.kind, token.text))
    return found


def test_cuts_words_operators_and_redirections() -> None:
    assert tokens("a 'b c'|d>e 2>&1 && f # comment") == [
        ("word", "a"), ("word", "'b c'"), ("operator", "|"), ("word", "d"), ("redirection", ">"),
        ("word", "e"), ("redirection", ">&"), ("word", "1"), ("operator", "&&"), ("word", "f"),
    ]  # fmt: skip


def test_a_word_keeps_what_is_quoted_apart() -> None:
    word = Lexer("a\"$b\"'$c'$(d)").next().word
    assert word.parts == [
        Literal("a", quoted=False), Parameter("b", quoted=True), Literal("$c", quoted=True),
        Substitution("d", quoted=False),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["'a", '"a', "$(a", "${a", "`a", "a \\", "cat <<E\nx\n"])
def test_what_may_go_on_is_incomplete(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        tokens(text)
    assert caught.value.incomplete


@pytest.mark.parametrize("text", ["${}", "${a!b}", "a &", "a;;"])
def test_what_is_wrong_is_not_incomplete(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        tokens(text)
    assert not caught.value.incomplete


def test_here_documents_are_read_after_their_line() -> None:
    lexer = Lexer("cat <<E >x\nhello $a\nE\nnext")
    found = [lexer.next() for _ in range(7)]
    assert found[2].word.parts[0] == Literal("hello ", quoted=True)
    assert found[6].text == "next"
