"""The toy shell's grammar: text to a tree of commands."""

from dataclasses import dataclass, field
from typing import Literal

from pipeops.sim.pods.lexer import Lexer, ScriptError, Token, Word

MAX_DEPTH = 40
RESERVED = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "for", "in", "do", "done", "{", "}", "!"}
)


@dataclass(frozen=True, slots=True)
class Redirection:
    """`2> file`: `operator` is one of > >> < >& <<, `target` a word (the text, for <<)."""

    descriptor: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments, words, redirections."""

    assignments: list[tuple[str, Word]]
    words: list[Word]
    redirections: list[Redirection]


@dataclass(frozen=True, slots=True)
class Loop:
    """`while` and `until`."""

    condition: "List"
    body: "List"
    until: bool


@dataclass(frozen=True, slots=True)
class For:
    """`for name in words`; no words means the arguments."""

    name: str
    words: list[Word] | None
    body: "List"


@dataclass(frozen=True, slots=True)
class If:
    """Conditions with what follows them, then `else`."""

    branches: list[tuple["List", "List"]]
    otherwise: "List | None"


@dataclass(frozen=True, slots=True)
class Group:
    """`{ … }` or, as a subshell, `( … )`."""

    body: "List"
    subshell: bool


@dataclass(frozen=True, slots=True)
class Redirected:
    """A compound command with redirections."""

    command: "Command"
    redirections: list[Redirection]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by |."""

    commands: list["Command"]
    negated: bool


@dataclass(frozen=True, slots=True)
class List:
    """Pipelines, each with the operator before it: `;` (always), `&&` or `||`."""

    items: list[tuple[str, Pipeline]] = field(default_factory=list)


Command = Simple | Loop | For | If | Group | Redirected
Connector = Literal[";", "&&", "||"]


def parse(text: str) -> List:
    """A whole script.

    Raises:
        ScriptError: it is wrong, or (`incomplete`) might go on with the next line.
    """
    parser = _Parser(Lexer(text))
    found = parser.list_until(frozenset())
    parser.expect_end()
    return found


class _Parser:
    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._token = lexer.next()
        self._depth = 0

    def list_until(self, ends: frozenset[str]) -> List:
        """Commands up to a reserved word (or parenthesis) of `ends`, or the end."""
        found: list[tuple[str, Pipeline]] = []
        connector = ";"
        while True:
            self._skip_newlines()
            if self._token.kind == "end" or self._is_word(ends):
                break
            if self._token.kind == "operator" and self._token.text == ")":
                break
            found.append((connector, self._pipeline()))
            if not self._operator(";", "\n", "&&", "||"):
                break
            connector = self._token.text if self._token.text in {"&&", "||"} else ";"
            self._advance()
            if connector != ";":
                self._skip_newlines()
                if self._token.kind == "end":
                    raise ScriptError("end of file unexpected", incomplete=True)
        return List(found)

    def expect_end(self) -> None:
        if self._token.kind != "end":
            raise self._unexpected()

    def _pipeline(self) -> Pipeline:
        negated = False
        while self._is_word(frozenset({"!"})):
            negated = not negated
            self._advance()
        commands = [self._command()]
        while self._operator("|"):
            self._advance()
            self._skip_newlines()
            commands.append(self._command())
            if len(commands) > 64:
                raise ScriptError("too many commands in one pipeline")
        return Pipeline(commands, negated)

    def _command(self) -> Command:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ScriptError("commands nested too deeply")
        try:
            command = self._compound()
            if command is None:
                return self._simple()
            redirections = self._redirections()
            return Redirected(command, redirections) if redirections else command
        finally:
            self._depth -= 1

    def _compound(self) -> Command | None:
        if self._operator("("):
            self._advance()
            body = self.list_until(frozenset())
            self._expect_operator(")")
            return Group(body, subshell=True)
        word = self._token.text if self._is_word(RESERVED) else ""
        match word:
            case "{":
                self._advance()
                return Group(self._body("}"), subshell=False)
            case "while" | "until":
                self._advance()
                condition = self._body("do")
                return Loop(condition, self._body("done"), word == "until")
            case "if":
                return self._if()
            case "for":
                return self._for()
            case "":
                return None
            case _:
                raise self._unexpected()

    def _if(self) -> If:
        branches: list[tuple[List, List]] = []
        otherwise = None
        while True:
            self._advance()
            condition = self._body("then")
            branches.append((condition, self.list_until(frozenset({"elif", "else", "fi"}))))
            if not self._is_word(frozenset({"elif"})):
                break
        if self._is_word(frozenset({"else"})):
            self._advance()
            otherwise = self.list_until(frozenset({"fi"}))
        self._expect_word("fi")
        return If(branches, otherwise)

    def _for(self) -> For:
        self._advance()
        if self._token.kind != "word":
            raise self._unexpected()
        name = self._token.text
        if not name.isidentifier():
            raise ScriptError("Bad for loop variable")
        self._advance()
        self._skip_newlines()
        words: list[Word] | None = None
        if self._is_word(frozenset({"in"})):
            self._advance()
            words = []
            while self._token.kind == "word":
                words.append(self._word())
        if self._operator(";"):
            self._advance()
        self._skip_newlines()
        self._expect_word("do")
        return For(name, words, self._body("done"))

    def _body(self, end: str) -> List:
        body = self.list_until(frozenset({end}))
        self._expect_word(end)
        if not body.items:
            raise ScriptError(f'"{end}" unexpected')
        return body

    def _simple(self) -> Simple:
        found = Simple([], [], self._redirections())
        while self._token.kind == "word":
            name = self._token.assignment
            if name and not found.words:
                found.assignments.append((name, self._token.word.after_assignment(name)))
                self._advance()
            else:
                found.words.append(self._word())
            found.redirections.extend(self._redirections())
        if not (found.words or found.assignments or found.redirections):
            raise self._unexpected()
        return found

    def _redirections(self) -> list[Redirection]:
        found: list[Redirection] = []
        while self._token.kind == "redirection":
            token = self._token
            self._advance()
            if self._token.kind != "word":
                raise self._unexpected()
            found.append(Redirection(token.descriptor, token.text, self._word()))
        return found

    def _word(self) -> Word:
        word = self._token.word
        self._advance()
        return word

    def _advance(self) -> None:
        self._token = self._lexer.next()

    def _skip_newlines(self) -> None:
        while self._operator("\n"):
            self._advance()

    def _operator(self, *texts: str) -> bool:
        return self._token.kind == "operator" and self._token.text in texts

    def _is_word(self, texts: frozenset[str]) -> bool:
        return self._token.kind == "word" and self._token.plain and self._token.text in texts

    def _expect_word(self, text: str) -> None:
        if not self._is_word(frozenset({text})):
            raise self._unexpected(f' (expecting "{text}")')
        self._advance()

    def _expect_operator(self, text: str) -> None:
        if not self._operator(text):
            raise self._unexpected(f' (expecting "{text}")')
        self._advance()

    def _unexpected(self, more: str = "") -> ScriptError:
        token: Token = self._token
        if token.kind == "end":
            return ScriptError(f"end of file unexpected{more}", incomplete=True)
        shown = "newline" if token.text == "\n" else f'"{token.text}"'
        return ScriptError(f"{shown} unexpected{more}")
